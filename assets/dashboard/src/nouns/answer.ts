// Answers on their way: what was tapped, and what is known of it. Nothing is tried again by itself.
import { signal } from '@preact/signals';
import { NoAnswer, part, post, sentence } from '../api/call';
import { approvals } from '../live/store';
import type { Approval } from '../words';

export interface Pending {
  /** In words: `Allow once`. */
  word: string;
  sentAt: number;
  /** `sending`: no answer yet. `unknown`: the way broke. `refused`: the supervisor says no, and why. */
  state: 'sending' | 'unknown' | 'refused';
  why: string;
}

const KEY = 'hal.pending';

export const pending = signal<Readonly<Record<string, Pending>>>(kept());

/** What this tab had sent before it was reloaded: whether that arrived is not known. */
function kept(): Record<string, Pending> {
  try {
    const all = JSON.parse(sessionStorage.getItem(KEY) ?? '{}') as Record<string, Pending>;
    const entries = Object.entries(all).map(([id, one]): [string, Pending] => [
      id,
      one.state === 'sending' ? { ...one, state: 'unknown', why: 'this page was reloaded' } : one,
    ]);
    return Object.fromEntries(entries);
  } catch {
    return {};
  }
}

function put(id: string, one: Pending | undefined): void {
  const all = { ...pending.value };
  if (one) all[id] = one;
  else delete all[id];
  pending.value = all;
  sessionStorage.setItem(KEY, JSON.stringify(all));
}

export function settle(id: string): void {
  if (pending.value[id]) put(id, undefined);
}

/** Takes a view in, unless a later one is there. */
function take(view: Approval): void {
  const known = approvals.value.get(view.id);
  if (known && known.receipt.length > view.receipt.length) return;
  approvals.value = new Map(approvals.value).set(view.id, view);
}

async function send(id: string, word: string, what: 'answer' | 'snooze', body: unknown): Promise<boolean> {
  if (pending.value[id]?.state === 'sending') return false;
  put(id, { word, sentAt: Date.now(), state: 'sending', why: '' });
  try {
    take(await post<Approval>(`api/v1/approvals/${part(id)}/${what}`, body));
    settle(id);
    return true;
  } catch (error) {
    const state = error instanceof NoAnswer ? 'unknown' : 'refused';
    put(id, { word, sentAt: Date.now(), state, why: sentence(error) });
    return false;
  }
}

export const allow = (id: string, always: boolean) =>
  send(id, always ? 'Always allow' : 'Allow once', 'answer', { reply: always ? 'always' : 'once' });

export const deny = (id: string, message: string) =>
  send(id, 'Deny', 'answer', message ? { reply: 'reject', message } : { reply: 'reject' });

export const choose = (id: string, answers: string[][]) => send(id, 'Answer', 'answer', { reply: 'answers', answers });

export const snooze = (id: string, seconds: number) => send(id, 'Snooze', 'snooze', { seconds });
