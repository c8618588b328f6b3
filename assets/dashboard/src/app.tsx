// The page: its head, its screens, and what it says of itself.
import { effect, useSignalEffect } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import type { JSX } from 'preact';
import * as keys from './keys';
import { start } from './live/socket';
import { chrome, connection, heardAt, isLost, me, needsYou, serverBuild, session, tookAnew } from './live/store';
import { may, type Role, type SessionView } from './words';
import { NeedsYou } from './nouns/approval';
import { AlertsScreen } from './nouns/alert';
import { AuditScreen } from './nouns/audit';
import { MoneyScreen } from './nouns/cost';
import { FleetScreen } from './nouns/fleet';
import { HaltScreen } from './nouns/halt';
import { Login, Waiting } from './nouns/login';
import { MeScreen } from './nouns/me';
import { NodesScreen } from './nouns/node';
import { SessionScreen } from './nouns/session';
import { Voice, cry, say } from './parts/say';
import { Visible } from './parts/text';
import { Ago, clock } from './parts/time';
import { go, href, screen, type Screen } from './route';

declare const __BUILD__: string;

const TITLES: Record<Screen['name'], string> = {
  'needs-you': 'Needs you',
  fleet: 'Fleet',
  sessions: 'Session',
  nodes: 'Nodes',
  alerts: 'Alerts',
  money: 'Money',
  audit: 'Audit',
  halt: 'Halt',
  me: 'Me',
  nothing: 'Not found',
};

type Listed = Exclude<Screen['name'], 'nothing' | 'sessions'>;

/** The screens of the menu; those that a thumb needs at three in the morning are always there, the others behind *More*. */
const SCREENS: { name: Listed; key: string; isRest?: boolean; least?: Role }[] = [
  { name: 'needs-you', key: 'g n' },
  { name: 'fleet', key: 'g f' },
  { name: 'nodes', key: 'g o', isRest: true },
  { name: 'alerts', key: 'g a', isRest: true },
  { name: 'money', key: 'g c', isRest: true },
  { name: 'audit', key: 'g u', isRest: true, least: 'admin' },
  { name: 'halt', key: 'g h' },
  { name: 'me', key: 'g m', isRest: true },
];

/** Those that whoever is here may see. */
const menu = () => SCREENS.filter(({ least }) => !least || may(me.value?.role, least));

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
      ...menu().map(({ name, key }) => ({ key, does: `go to ${TITLES[name]}`, act: () => go(href(name)) })),
      { key: '?', does: 'show the keys', act: () => help.current?.showModal() },
    ];
  }, []);
  const help = useRef<HTMLDialogElement>(null);
  const first = useRef(true);
  useEffect(() => {
    // Whoever cannot see the screen change hears it; whoever has just come stays where they are.
    if (!first.current) main.current?.querySelector('h1')?.focus({ preventScroll: true });
    first.current = false;
  }, [here.name, 'approval' in here ? here.approval : '', 'session' in here ? here.session : '', 'node' in here ? here.node : '', 'alert' in here ? here.alert : '']);
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => { event.preventDefault(); main.current?.querySelector('h1')?.focus(); }}>
        Skip to the content
      </a>
      <Head here={here.name} help={() => help.current?.showModal()} />
      <Banners />
      <main id="main" ref={main} class={here.name}>
        {here.name === 'needs-you' && <NeedsYou approval={here.approval} />}
        {here.name === 'fleet' && <FleetScreen />}
        {here.name === 'sessions' && <SessionScreen id={here.session} />}
        {here.name === 'nodes' && <NodesScreen node={here.node} />}
        {here.name === 'alerts' && <AlertsScreen alert={here.alert} />}
        {here.name === 'money' && <MoneyScreen />}
        {here.name === 'audit' && <AuditScreen />}
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
    const of = screen.value.name === 'sessions' ? (session.value?.get('session') as SessionView | undefined) : undefined;
    document.title = `${count > 0 ? `(${count}) ` : ''}${of?.title.slice(0, 80) || TITLES[screen.value.name]} – HAL`;
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
  const link = (name: Listed, label: JSX.Element | string, isRest?: boolean) => (
    <a key={name} href={href(name)} class={`${name}${isRest ? ' rest' : ''}`} aria-current={here === name || (here === 'sessions' && name === 'fleet') ? 'page' : undefined}>
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
        {menu().map(({ name, isRest }) =>
          link(
            name,
            <>
              {TITLES[name]}
              {name === 'needs-you' && count > 0 && <span class="count">{count}</span>}
            </>,
            isRest,
          ),
        )}
        <More here={here} link={link} />
      </nav>
      <Counts />
      <State />
      <button type="button" class="quiet helper" onClick={help} aria-label="Keys" title="Keys (?)">
        ?
      </button>
    </header>
  );
}

/** The screens that a phone's bar has no room for. */
function More({ here, link }: { here: Screen['name']; link: (name: Listed, label: string) => JSX.Element }): JSX.Element {
  const place = useRef<HTMLDetailsElement>(null);
  useEffect(() => {
    if (place.current) place.current.open = false;
  }, [here]);
  const rest = menu().filter((one) => one.isRest);
  return (
    <details class="more" ref={place}>
      <summary class={rest.some((one) => one.name === here) ? 'here' : ''}>More</summary>
      <div>{rest.map(({ name }) => link(name, TITLES[name]))}</div>
    </details>
  );
}

function Counts(): JSX.Element | null {
  const known = chrome.value;
  if (!known) return null;
  const { sessions, nodes, nodes_online, alerts } = known;
  const stale = isLost.value ? ' stale' : '';
  return (
    <p class={`counts${stale}`}>
      <a href={`${href('fleet')}?status=running`}>
        <b>{sessions['running'] ?? 0}</b> running
      </a>
      <a href={href('nodes')} class={nodes_online < nodes ? 'attention' : ''}>
        <b>
          {nodes_online}/{nodes}
        </b>{' '}
        nodes
      </a>
      {alerts > 0 && (
        <a href={href('alerts')} class="attention">
          <b>{alerts}</b> {alerts === 1 ? 'alert' : 'alerts'}
        </a>
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
    <section class="banners" aria-label="Notices">
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
    </section>
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
