// Login: by a token, or by a link that halctl has printed. What is shown is sent once; then there is a cookie.
import { signal } from '@preact/signals';
import { useEffect, useRef, useState } from 'preact/hooks';
import type { JSX } from 'preact';
import { NoAnswer, Refused, get, post, sentence } from '../api/call';
import { me } from '../live/store';
import { Line } from '../parts/copy';
import type { WhoAmI } from '../words';

const trouble = signal('');

/** Takes a code out of the address: it is good once, and belongs in no history. */
function codeOfAddress(): string {
  const code = new URLSearchParams(location.hash.slice(1)).get('code') ?? '';
  if (location.hash) history.replaceState(null, '', location.pathname + location.search);
  return code;
}

/** Who is logged in here; a code in the address logs in. */
export async function begin(code: string = codeOfAddress()): Promise<void> {
  try {
    me.value = code ? await post<WhoAmI>('api/v1/login', { code }) : await get<WhoAmI>('api/v1/whoami');
  } catch (error) {
    if (error instanceof NoAnswer) {
      trouble.value = 'The supervisor does not answer. This page tries again by itself.';
      window.setTimeout(() => void begin(code), 3_000);
      return;
    }
    // A link that was used before is no reason to log somebody out.
    if (code && !(await stillLoggedIn())) trouble.value = sentence(error);
    else if (!(error instanceof Refused && error.status === 401)) trouble.value = sentence(error);
    if (me.value === undefined) me.value = null;
  }
}

async function stillLoggedIn(): Promise<boolean> {
  try {
    me.value = await get<WhoAmI>('api/v1/whoami');
    return true;
  } catch {
    return false;
  }
}

export function Login(): JSX.Element {
  const [token, setToken] = useState('');
  const [isSending, setSending] = useState(false);
  const field = useRef<HTMLInputElement>(null);
  useEffect(() => field.current?.focus(), []);
  const submit = async (event: Event) => {
    event.preventDefault();
    if (!token.trim() || isSending) return;
    setSending(true);
    trouble.value = '';
    try {
      me.value = await post<WhoAmI>('api/v1/login', { token: token.trim() });
    } catch (error) {
      trouble.value = sentence(error);
      field.current?.select();
    } finally {
      setSending(false);
    }
  };
  const isPlain = location.protocol === 'http:' && !['localhost', '127.0.0.1', '[::1]'].includes(location.hostname);
  return (
    <main class="login">
      <img src="assets/icon.svg" alt="" width="56" height="56" />
      <h1 tabIndex={-1}>HAL-O-SWARM</h1>
      {trouble.value && (
        <p class="warning" role="alert">
          {trouble.value}
        </p>
      )}
      <form onSubmit={(event) => void submit(event)}>
        {/* Password managers keep nothing without a name. */}
        <input type="text" name="username" autocomplete="username" value="hal" hidden readOnly />
        <label>
          Token
          <input
            ref={field}
            type="password"
            name="token"
            autocomplete="current-password"
            value={token}
            onInput={(event) => setToken(event.currentTarget.value)}
          />
        </label>
        <button type="submit" class="primary" disabled={isSending || !token.trim()}>
          {isSending ? 'Logging in …' : 'Log in'}
        </button>
      </form>
      <section>
        <p>Without a token: where halctl works, this prints a link that logs a browser in, once.</p>
        <Line text="halctl dashboard" />
      </section>
      {isPlain && (
        <p class="warning">
          This page came without TLS: whoever is on the way can read the token. Put a certificate into <code>security.tls</code>, or a proxy with one in front.
        </p>
      )}
    </main>
  );
}

/** Nobody knows yet who this is. */
export function Waiting(): JSX.Element {
  return (
    <main class="login">
      <img src="assets/icon.svg" alt="" width="56" height="56" />
      <h1 tabIndex={-1}>HAL-O-SWARM</h1>
      <p class={trouble.value ? 'warning' : 'dim'}>{trouble.value || 'One moment …'}</p>
    </main>
  );
}
