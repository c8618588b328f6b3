// What the page knows: filled by the live socket, read by everything else.
import { computed, signal } from '@preact/signals';
import type { Entry } from '../conversation';
import type { Approval, Chrome, NodeTurns, WhoAmI } from '../words';

/** Who is logged in: undefined, not known yet; null, nobody. */
export const me = signal<WhoAmI | null | undefined>(undefined);

export type Connection =
  | { state: 'connecting'; since: number }
  | { state: 'live' }
  | { state: 'offline'; since: number };

export const connection = signal<Connection>({ state: 'connecting', since: Date.now() });

/** True when the page has lost the supervisor for long enough to say so. */
export const isLost = signal(false);

/** When the last frame came, by this machine's clock. */
export const heardAt = signal(0);

/** That all was taken anew, as it could not be told what had changed. */
export const tookAnew = signal(false);

/** The supervisor's build of the page; empty: not known. */
export const serverBuild = signal('');
export const serverVersion = signal('');

/** By how much the supervisor's clock is ahead of this machine's, in milliseconds. */
export const skew = signal(0);

/** The supervisor's time, every second while somebody looks. */
export const now = signal(Date.now());

export function tick(): void {
  now.value = Date.now() + skew.value;
}

export const chrome = signal<Chrome | undefined>(undefined);
export const approvals = signal<ReadonlyMap<string, Approval>>(new Map());
export const haveApprovals = signal(false);
export const turns = signal<ReadonlyMap<string, NodeTurns>>(new Map());
export const haveTurns = signal(false);

/** A window of the fleet, and the session that is shown: things by their ids; undefined, nothing was told yet. */
export const fleet = signal<ReadonlyMap<string, unknown> | undefined>(undefined);
export const session = signal<ReadonlyMap<string, unknown> | undefined>(undefined);

/** What is being written in the session that is watched; the screen takes it in as it comes. */
export const live = signal<Live | undefined>(undefined);

export interface Live {
  live: string;
  words: { part: string; message: string; text: string }[];
  entries: Entry[];
  dropped: number;
}

export const needsYou = computed(() => chrome.value?.needs_you ?? 0);

/** Nothing of it is true for whoever logs in next. */
export function forget(): void {
  chrome.value = undefined;
  approvals.value = new Map();
  haveApprovals.value = false;
  turns.value = new Map();
  haveTurns.value = false;
  fleet.value = undefined;
  session.value = undefined;
  live.value = undefined;
  serverBuild.value = '';
}
