// Me: who I am here, in which browsers I am logged in, and how this page looks.
import { signal } from '@preact/signals';
import { useEffect, useState } from 'preact/hooks';
import type { JSX } from 'preact';
import { get, part, post, remove, sentence } from '../api/call';
import * as keys from '../keys';
import { stop } from '../live/socket';
import { me, serverVersion } from '../live/store';
import { Terminal } from '../parts/copy';
import { Name } from '../parts/text';
import { Ago, At, inUtc, setUtc } from '../parts/time';
import { NEVER, type TokenView } from '../words';

type Theme = 'auto' | 'light' | 'dark';

const theme = signal<Theme>((localStorage.getItem('hal.theme') as Theme | null) ?? 'auto');

/** The colours that were chosen on this machine. */
export function dress(chosen: Theme = theme.value): void {
  theme.value = chosen;
  localStorage.setItem('hal.theme', chosen);
  if (chosen === 'auto') delete document.documentElement.dataset['theme'];
  else document.documentElement.dataset['theme'] = chosen;
}

async function logout(): Promise<void> {
  try {
    await post('api/v1/logout');
  } finally {
    stop();
    me.value = null;
  }
}

export function MeScreen(): JSX.Element {
  const [devices, setDevices] = useState<TokenView[] | undefined>();
  const [why, setWhy] = useState('');
  const load = () => get<TokenView[]>('api/v1/whoami/tokens').then(setDevices, (error: unknown) => setWhy(sentence(error)));
  useEffect(() => void load(), []);
  const revoke = async (id: string) => {
    try {
      await remove(`api/v1/tokens/${part(id)}`);
      setWhy('');
    } catch (error) {
      setWhy(sentence(error));
    }
    await load();
  };
  const who = me.value;
  if (!who) return <></>;
  return (
    <>
      <h1 tabIndex={-1}>Me</h1>
      <section class="panel">
        <p class="who">
          <b>
            <Name text={who.name} />
          </b>{' '}
          <span class="pill">{who.role}</span>
        </p>
        <p class="dim">
          This browser is logged in from {who.from}
          {who.expires_at !== NEVER && (
            <>
              , until <At at={who.expires_at} />
            </>
          )}
          .
        </p>
        <button type="button" onClick={() => void logout()}>
          Log out
        </button>
      </section>
      <section class="panel">
        <h2>Where I am logged in</h2>
        {why && (
          <p class="warning" role="alert">
            {why}
          </p>
        )}
        {!devices ? <p class="dim">Asking the supervisor …</p> : <Devices devices={devices} own={who.credential_id} revoke={(id) => void revoke(id)} />}
        <Terminal lines={['halctl tokens list', 'halctl tokens revoke ID']} />
      </section>
      <Looks />
      <p class="dim">
        hal-o-swarm {serverVersion.value} · <a href="assets/NOTICES" target="_blank" rel="noopener">what else is in this page</a>
      </p>
    </>
  );
}

function Devices({ devices, own, revoke }: { devices: TokenView[]; own: string; revoke: (id: string) => void }): JSX.Element {
  const good = devices.filter((one) => one.state === 'active').sort((one, other) => other.created_at.localeCompare(one.created_at));
  return (
    <ul class="devices">
      {good.map((one) => (
        <li key={one.id}>
          <div>
            <b>
              <Name text={one.label || one.kind} />
            </b>{' '}
            {one.id === own && <span class="pill good">this browser</span>}
            <p class="dim">
              {one.kind} <code>{one.id}</code>, since <At at={one.created_at} />
              {one.used_at !== NEVER && (
                <>
                  , used <Ago at={one.used_at} /> from {one.used_from}
                </>
              )}
            </p>
          </div>
          <Revoke name={one.label || one.id} isOwn={one.id === own} revoke={() => (one.id === own ? void logout() : revoke(one.id))} />
        </li>
      ))}
    </ul>
  );
}

function Revoke({ name, isOwn, revoke }: { name: string; isOwn: boolean; revoke: () => void }): JSX.Element {
  const [isAsking, setAsking] = useState(false);
  const word = isOwn ? 'Log out' : 'Revoke';
  if (!isAsking) {
    return (
      <button type="button" class="quiet" onClick={() => setAsking(true)} aria-label={`${word}: ${name}`}>
        {word}…
      </button>
    );
  }
  return (
    <span class="form">
      <button type="button" class="danger" onClick={revoke} aria-label={`${word} ${name} now`}>
        {word}
      </button>
      <button type="button" onClick={() => setAsking(false)}>
        Cancel
      </button>
    </span>
  );
}

function Looks(): JSX.Element {
  return (
    <section class="panel">
      <h2>This page</h2>
      <label class="scope">
        Colours
        <select value={theme.value} onChange={(event) => dress(event.currentTarget.value as Theme)}>
          <option value="auto">as this machine</option>
          <option value="light">light</option>
          <option value="dark">dark</option>
        </select>
      </label>
      <label class="choice">
        <input type="checkbox" checked={inUtc.value} onChange={(event) => setUtc(event.currentTarget.checked)} />
        <span>Times in UTC</span>
      </label>
      <label class="choice">
        <input type="checkbox" checked={keys.areOn.value} onChange={(event) => keys.setKeys(event.currentTarget.checked)} />
        <span>Single keys act (press ? for all of them)</span>
      </label>
    </section>
  );
}
