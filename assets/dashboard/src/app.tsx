// The page: its head, its screens, and what it says of itself.
import { effect, useSignalEffect } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import type { JSX } from 'preact';
import * as keys from './keys';
import { start } from './live/socket';
import { chrome, connection, heardAt, isLost, me, needsYou, serverBuild, tookAnew } from './live/store';
import { NeedsYou } from './nouns/approval';
import { HaltScreen } from './nouns/halt';
import { Login, Waiting } from './nouns/login';
import { MeScreen } from './nouns/me';
import { Voice, cry, say } from './parts/say';
import { Visible } from './parts/text';
import { Ago, clock } from './parts/time';
import { go, href, screen, type Screen } from './route';

declare const __BUILD__: string;

const TITLES: Record<Screen['name'], string> = { 'needs-you': 'Needs you', halt: 'Halt', me: 'Me', nothing: 'Not found' };

export function App(): JSX.Element {
  if (me.value === undefined) return <Waiting />;
  if (me.value === null) return <Login />;
  return <Inside />;
}

function Inside(): JSX.Element {
  const main = useRef<HTMLElement>(null);
  const here = screen.value;
  useEffect(start, []);
  useTitle();
  useEffect(() => {
    keys.ofAll.value = [
      { key: 'g n', does: 'go to Needs you', act: () => go(href('needs-you')) },
      { key: 'g h', does: 'go to Halt', act: () => go(href('halt')) },
      { key: 'g m', does: 'go to Me', act: () => go(href('me')) },
      { key: '?', does: 'show the keys', act: () => help.current?.showModal() },
    ];
  }, []);
  const help = useRef<HTMLDialogElement>(null);
  const first = useRef(true);
  useEffect(() => {
    // Whoever cannot see the screen change hears it; whoever has just come stays where they are.
    if (!first.current) main.current?.querySelector('h1')?.focus({ preventScroll: true });
    first.current = false;
  }, [here.name, 'approval' in here ? here.approval : '']);
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => { event.preventDefault(); main.current?.querySelector('h1')?.focus(); }}>
        Skip to the content
      </a>
      <Head here={here.name} help={() => help.current?.showModal()} />
      <Banners />
      <main id="main" ref={main}>
        {here.name === 'needs-you' && <NeedsYou approval={here.approval} />}
        {here.name === 'halt' && <HaltScreen />}
        {here.name === 'me' && <MeScreen />}
        {here.name === 'nothing' && <Nothing path={here.path} />}
      </main>
      <Voice />
      <dialog ref={help} class="help" aria-labelledby="help-title">
        <h2 id="help-title">Keys</h2>
        <dl>
          {[...keys.ofScreen.value, ...keys.ofAll.value].map((one) => (
            <div key={one.key}>
              <dt>
                <kbd>{one.key}</kbd>
              </dt>
              <dd>{one.does}</dd>
            </div>
          ))}
        </dl>
        <p class="dim">{keys.areOn.value ? 'They never act while you type.' : 'They are switched off: see Me.'}</p>
        <form method="dialog">
          <button type="submit">Close</button>
        </form>
      </dialog>
    </>
  );
}

/** The tab tells how many wait, also while nobody looks at it. */
function useTitle(): void {
  useSignalEffect(() => {
    const count = needsYou.value;
    document.title = `${count > 0 ? `(${count}) ` : ''}${TITLES[screen.value.name]} – HAL`;
    const icon = document.querySelector<HTMLLinkElement>('link[rel=icon]');
    if (icon) icon.href = count > 0 ? alarmed : icon.dataset['calm'] ?? (icon.dataset['calm'] = icon.href);
    void navigator.setAppBadge?.(count).catch(() => undefined);
  });
  useEffect(() => {
    let before = needsYou.peek();
    return effect(() => {
      const count = needsYou.value;
      if (count > before) say(count === 1 ? 'One session needs you' : `${count} sessions need you`);
      before = count;
    });
  }, []);
  useEffect(
    () =>
      effect(() => {
        if (isLost.value) cry('The connection to the supervisor is lost');
      }),
    [],
  );
}

/** The icon with a lamp on. */
const alarmed =
  'data:image/svg+xml,' +
  encodeURIComponent(
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><rect x="1" y="1" width="30" height="30" rx="8" fill="#17181c"/><circle cx="16" cy="16" r="9.5" fill="none" stroke="#54565e" stroke-width="2"/><circle cx="16" cy="16" r="5.5" fill="#d8382f"/><circle cx="25" cy="7" r="7" fill="#ffb224"/></svg>',
  );

function Head({ here, help }: { here: Screen['name']; help: () => void }): JSX.Element {
  const link = (name: 'needs-you' | 'halt' | 'me', label: JSX.Element | string) => (
    <a href={href(name)} class={name} aria-current={here === name ? 'page' : undefined}>
      {label}
    </a>
  );
  const count = needsYou.value;
  return (
    <header class="head">
      <a class="brand" href={href('needs-you')} aria-label="HAL, to Needs you">
        <img src="assets/icon.svg" alt="" width="26" height="26" />
        <span>HAL</span>
      </a>
      <nav aria-label="Screens">
        {link(
          'needs-you',
          <>
            Needs you
            {count > 0 && <span class="count">{count}</span>}
          </>,
        )}
        {link('halt', 'Halt')}
        {link('me', 'Me')}
      </nav>
      <Counts />
      <State />
      <button type="button" class="quiet helper" onClick={help} aria-label="Keys" title="Keys (?)">
        ?
      </button>
    </header>
  );
}

function Counts(): JSX.Element | null {
  const known = chrome.value;
  if (!known) return null;
  const { sessions, nodes, nodes_online, alerts } = known;
  const stale = isLost.value ? ' stale' : '';
  return (
    <p class={`counts${stale}`}>
      <span>
        <b>{sessions['running'] ?? 0}</b> running
      </span>
      <span class={nodes_online < nodes ? 'attention' : ''}>
        <b>
          {nodes_online}/{nodes}
        </b>{' '}
        nodes
      </span>
      {alerts > 0 && (
        <span class="attention">
          <b>{alerts}</b> {alerts === 1 ? 'alert' : 'alerts'}
        </span>
      )}
    </p>
  );
}

/** How the connection is. It is never green by itself: a frame of the supervisor has made it so. */
function State(): JSX.Element {
  const { value } = connection;
  if (value.state === 'live') {
    return (
      <p class="state live" title={`last word at ${clock(heardAt.value)}`}>
        <span aria-hidden="true">●</span> {tookAnew.value ? 'picture taken anew' : 'live'}
      </p>
    );
  }
  return isLost.value ? (
    <p class="state lost">
      <span aria-hidden="true">▲</span> offline
    </p>
  ) : (
    <p class="state">
      <span aria-hidden="true">○</span> connecting
    </p>
  );
}

function Banners(): JSX.Element {
  const known = chrome.value;
  const { value } = connection;
  const isOther = serverBuild.value !== '' && serverBuild.value !== __BUILD__;
  return (
    <div class="banners">
      {isLost.value && value.state === 'offline' && (
        <p class="banner lost" role="alert">
          <b>Not connected since {clock(value.since)}.</b> What you see is as of {clock(heardAt.value || value.since)}. Nothing can be answered until the supervisor
          is reached again; this page keeps trying.
        </p>
      )}
      {known?.trouble && (
        <p class="banner lost" role="alert">
          <b>The supervisor cannot store anything:</b> <Visible text={known.trouble} />. Answers do not count until it can.
        </p>
      )}
      {known?.halts.map((halt) => (
        <p key={halt.project} class="banner halted">
          <b>{halt.project ? `Project ${halt.project} is halted` : 'Everything is halted'}</b> by <Visible text={halt.by} />, <Ago at={halt.at} />.{' '}
          <a href={href('halt')}>Has all stopped?</a>
        </p>
      ))}
      {isOther && (
        <p class="banner">
          The supervisor has another version of this page.{' '}
          <button type="button" class="quiet" onClick={() => location.reload()}>
            Reload
          </button>
        </p>
      )}
    </div>
  );
}

function Nothing({ path }: { path: string }): JSX.Element {
  return (
    <>
      <h1 tabIndex={-1}>Not found</h1>
      <p>
        There is no screen <code>{path}</code>. <a href={href('needs-you')}>Needs you</a>
      </p>
    </>
  );
}
