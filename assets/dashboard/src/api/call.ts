// Calls of the API: by the cookie, which no script can read.

/** An answer that says no. */
export class Refused extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    sentence: string,
  ) {
    super(sentence);
  }
}

/** No answer: the request may or may not have had its effect. */
export class NoAnswer extends Error {}

/** The address of something below the page's base, whatever path a proxy has put before it. */
export function address(path: string): URL {
  return new URL(path, document.baseURI);
}

/** About a page of a list. */
export interface Meta {
  total: number;
  limit?: number;
  next_cursor?: string;
}

interface Answer<T> {
  data: T;
  meta?: Meta;
}

async function call<T>(method: string, path: string, body?: unknown, key?: string): Promise<Answer<T>> {
  const headers: Record<string, string> = { Accept: 'application/json' };
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  if (key) headers['Idempotency-Key'] = key;
  let response: Response;
  let text: string;
  try {
    response = await fetch(address(path), {
      method,
      headers,
      body: body === undefined ? null : JSON.stringify(body),
      credentials: 'same-origin',
      cache: 'no-store',
      redirect: 'error',
    });
    text = await response.text();
  } catch {
    throw new NoAnswer('no answer from the supervisor');
  }
  let read: { data?: T; meta?: Meta; error?: string; code?: string };
  try {
    read = JSON.parse(text) as typeof read;
  } catch {
    throw new Refused(response.status, 'UNREADABLE', `an answer that is not the supervisor's (${response.status})`);
  }
  if (!response.ok) throw new Refused(response.status, read.code ?? '', read.error ?? `status ${response.status}`);
  return read as Answer<T>;
}

export const get = async <T>(path: string) => (await call<T>('GET', path)).data;
/** A page of a list, with what is said about it. */
export const list = <T>(path: string) => call<T[]>('GET', path);
export const post = async <T>(path: string, body: unknown = {}, key?: string) => (await call<T>('POST', path, body, key)).data;
export const remove = async <T>(path: string) => (await call<T>('DELETE', path)).data;

/** A part of a path, whatever is in it. */
export const part = encodeURIComponent;

/** A sentence for people. */
export function sentence(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
