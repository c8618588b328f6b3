// The live socket: one for each tab. It distrusts silence, and says what is true of the connection.
import { batch } from '@preact/signals';
import { address, get, Refused } from '../api/call';
import type { Approval, Chrome, NodeTurns, WhoAmI } from '../words';
import * as store from './store';

/** No byte for this long: the way is dead, whatever the socket says. The supervisor says something every 20 s. */
const SILENCE = 45_000;
/** Whoever comes back to the page after this much silence does not wait for the rest of it. */
const SILENCE_ON_RETURN = 25_000;
const CONNECT_LIMIT = 10_000;
const FIRST_WAIT = 1_000;
const LONGEST_WAIT = 30_000;
/** A connection that is back within this time was never away, to people. */
const PATIENCE = 3_000;
/** The supervisor takes frames of 64 KiB: with more than this nothing is said of what is there, and all is told again. */
const MOST_HAVE = 48 * 1024;
/** A page that nobody sees lets go after this. */
const HIDDEN_LIMIT = 300_000;

interface Item {
  id: string;
  v: string;
  view: unknown;
}

interface Frame {
  verdict?: 'ok' | 'gap';
  cursor?: string;
  server?: { version: string; build: string; now: string };
  picture?: string;
  as_of?: string;
  items?: Item[];
  change?: string;
  upsert?: Item[];
  gone?: string[];
  ping?: string;
  live?: string;
}

let socket: WebSocket | undefined;
let cursor = '';
let wait = 0;
let retry: number | undefined;
let limit: number | undefined;
let hiddenSince = 0;
let isRunning = false;
let topics: string[] = ['chrome', 'approvals'];
let watched = '';
const versions = new Map<string, Map<string, string>>();

/** Begins to follow; does nothing when it does already. */
export function start(): void {
  if (isRunning) return;
  isRunning = true;
  wait = 0;
  connect();
}

/** Follows no more, and forgets what was told. */
export function stop(): void {
  isRunning = false;
  drop();
  window.clearTimeout(retry);
  cursor = '';
  versions.clear();
  store.forget();
  store.isLost.value = false;
}

const word = (topic: string) => topic.split('?')[0] ?? '';

/** Which topics the screen needs beside what every page has, and the session of which it shows what is being written. */
export function follow(more: string[], session = ''): void {
  const wanted = ['chrome', 'approvals', ...more];
  if (wanted.join() !== topics.join()) {
    // Another session has nothing of the one before; another window of the fleet shares rows with it.
    const stays = (name: string) => wanted.some((topic) => word(topic) === name && (name !== 'session' || topics.includes(topic)));
    for (const name of ['halt', 'fleet', 'session']) {
      if (stays(name)) continue;
      versions.delete(name);
      forget(name);
    }
    topics = wanted;
    say({ topics });
  }
  if (session !== watched) {
    watched = session;
    store.live.value = undefined;
    say({ watch: watched });
  }
}

function forget(name: string): void {
  if (name === 'fleet') store.fleet.value = undefined;
  if (name === 'session') store.session.value = undefined;
  if (name === 'halt') {
    store.turns.value = new Map();
    store.haveTurns.value = false;
  }
}

function say(words: unknown): void {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify(words));
}

function connect(): void {
  window.clearTimeout(retry);
  drop();
  const url = address('api/v1/live');
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  const own = new WebSocket(url, 'hal.live.1');
  socket = own;
  limit = window.setTimeout(() => lost(own), CONNECT_LIMIT);
  own.onopen = () => {
    const have: Record<string, Record<string, string>> = {};
    for (const [topic, its] of versions) have[topic] = Object.fromEntries(its);
    const hello = { cursor, topics, have, visible: !document.hidden, watch: watched };
    const words = JSON.stringify({ hello });
    own.send(words.length <= MOST_HAVE ? words : JSON.stringify({ hello: { ...hello, have: {} } }));
  };
  own.onmessage = (message) => {
    if (own !== socket) return;
    store.heardAt.value = Date.now();
    take(JSON.parse(message.data as string) as Frame);
  };
  own.onclose = () => lost(own);
}

/** Forgets the socket: what it says later is not heard. */
function drop(): void {
  window.clearTimeout(limit);
  const old = socket;
  socket = undefined;
  old?.close();
}

function lost(own: WebSocket): void {
  if (own !== socket) return;
  drop();
  if (!isRunning) return;
  if (store.connection.value.state !== 'offline') {
    store.connection.value = { state: 'offline', since: Date.now() };
    window.setTimeout(() => {
      store.isLost.value = store.connection.value.state === 'offline';
    }, PATIENCE);
  }
  void askWhether();
}

/** A handshake that is refused says nothing of why: whether this browser is still logged in is asked for. */
async function askWhether(): Promise<void> {
  try {
    store.me.value = await get<WhoAmI>('api/v1/whoami');
  } catch (error) {
    if (error instanceof Refused && error.status === 401) {
      stop();
      store.me.value = null;
      return;
    }
  }
  if (!isRunning || socket) return;
  // At once the first time; then it waits longer each time, and not all pages at the same moment.
  const pause = wait === 0 ? 0 : wait * (0.75 + Math.random() / 2);
  wait = Math.min(wait === 0 ? FIRST_WAIT : wait * 2, LONGEST_WAIT);
  retry = window.setTimeout(connect, pause);
}

function take(frame: Frame): void {
  if (frame.server) {
    window.clearTimeout(limit);
    store.skew.value = Date.parse(frame.server.now) - Date.now();
    store.tick();
    store.serverBuild.value = frame.server.build;
    store.serverVersion.value = frame.server.version;
  }
  batch(() => {
    if (frame.verdict === 'gap') {
      // What was there is shown until the pictures come: an empty list in between would be a lie.
      versions.clear();
      store.tookAnew.value = true;
      window.setTimeout(() => (store.tookAnew.value = false), 8_000);
    }
    if (frame.verdict) {
      wait = 0;
      store.connection.value = { state: 'live' };
      store.isLost.value = false;
    }
    if (frame.picture) {
      put(frame.picture, frame.items ?? [], undefined);
      cursor = frame.as_of ?? cursor;
    }
    if (frame.change) {
      put(frame.change, frame.upsert ?? [], frame.gone ?? []);
      cursor = frame.cursor ?? cursor;
    }
  });
  if (frame.live !== undefined && frame.live === watched) store.live.value = frame as unknown as store.Live;
  if (frame.verdict) cursor = frame.cursor ?? cursor;
  if (frame.ping) {
    store.skew.value = Date.parse(frame.ping) - Date.now();
    say({ pong: true });
  }
}

/** Takes things in; without `gone` they are all there is. */
function put(topic: string, items: Item[], gone: string[] | undefined): void {
  const known = gone ? (versions.get(topic) ?? new Map<string, string>()) : new Map<string, string>();
  for (const item of items) known.set(item.id, item.v);
  for (const id of gone ?? []) known.delete(id);
  versions.set(topic, known);
  const merged = <T>(before: ReadonlyMap<string, T>): ReadonlyMap<string, T> => {
    const after = new Map(gone ? before : []);
    for (const item of items) after.set(item.id, item.view as T);
    for (const id of gone ?? []) after.delete(id);
    return after;
  };
  if (topic === 'chrome' && items[0]) store.chrome.value = items[0].view as Chrome;
  if (topic === 'approvals') {
    store.approvals.value = merged<Approval>(store.approvals.value);
    store.haveApprovals.value = true;
  }
  if (topic === 'fleet') store.fleet.value = merged<unknown>(store.fleet.value ?? new Map());
  if (topic === 'session') store.session.value = merged<unknown>(store.session.value ?? new Map());
  if (topic === 'halt') {
    store.turns.value = merged<NodeTurns>(store.turns.value);
    store.haveTurns.value = true;
  }
}

/** Looks whether the way is still there, as somebody looks at the page again. */
function distrust(silence: number): void {
  if (!isRunning) return;
  if (!socket) {
    wait = 0;
    connect();
    return;
  }
  if (socket.readyState !== WebSocket.OPEN) return;
  if (Date.now() - store.heardAt.value > silence && store.heardAt.value > 0) lost(socket);
}

export function watch(): void {
  window.setInterval(() => {
    if (!document.hidden) store.tick();
    if (socket && Date.now() - store.heardAt.value > SILENCE && store.connection.value.state === 'live') lost(socket);
    if (document.hidden && hiddenSince && Date.now() - hiddenSince > HIDDEN_LIMIT && socket) {
      drop();
      store.connection.value = { state: 'connecting', since: Date.now() };
    }
  }, 1_000);
  document.addEventListener('visibilitychange', () => {
    hiddenSince = document.hidden ? Date.now() : 0;
    if (!document.hidden) {
      store.tick();
      distrust(SILENCE_ON_RETURN);
    }
    say({ visible: !document.hidden });
  });
  window.addEventListener('online', () => distrust(0));
  window.addEventListener('pageshow', () => distrust(SILENCE_ON_RETURN));
}
