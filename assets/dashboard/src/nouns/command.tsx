// Commands on their way: sent, accepted, with the node, done, each when that was seen. Nothing is sent again by itself.
import { signal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import type { JSX } from 'preact';
import { NoAnswer, Refused, get, part, post, sentence } from '../api/call';
import { connection } from '../live/store';
import { Visible } from '../parts/text';
import { clock } from '../parts/time';

export type Standing = 'sending' | 'no answer' | 'refused' | 'queued' | 'sent' | 'running' | 'done' | 'failed' | 'expired' | 'unknown';

export interface OnItsWay {
  key: string;
  about: string;
  word: string;
  body: Record<string, unknown>;
  at: number;
  state: Standing;
  id?: string;
  said: string;
}

interface CommandView {
  command_id: string;
  state: Standing;
  output: string;
  error: string | null;
}

const KEY = 'hal.commands';

/** Ones that are remembered for a session. */
const MOST = 4;

/** How often one that is not over is looked at. */
const LOOK_EVERY = 700;

export const commands = signal<OnItsWay[]>(kept());

const isOver = (one: OnItsWay) => ['refused', 'done', 'failed', 'expired', 'unknown'].includes(one.state);

/** What this tab had sent before it was reloaded; whether the last one arrived may not be known. */
function kept(): OnItsWay[] {
  try {
    const all = JSON.parse(sessionStorage.getItem(KEY) ?? '[]') as OnItsWay[];
    return all.map((one) => (one.state === 'sending' ? { ...one, state: 'no answer', said: 'this page was reloaded' } : one));
  } catch {
    return [];
  }
}

function put(one: OnItsWay): void {
  const others = commands.value.filter((other) => other.key !== one.key);
  const its = others.filter((other) => other.about === one.about).slice(-(MOST - 1));
  commands.value = [...others.filter((other) => other.about !== one.about), ...its, one].sort((a, b) => a.at - b.at).slice(-50);
  sessionStorage.setItem(KEY, JSON.stringify(commands.value));
}

export function dismiss(key: string): void {
  commands.value = commands.value.filter((one) => one.key !== key);
  sessionStorage.setItem(KEY, JSON.stringify(commands.value));
}

function take(one: OnItsWay, view: CommandView): OnItsWay {
  const next = { ...one, id: view.command_id, state: view.state, said: view.error || view.output || '' };
  put(next);
  return next;
}

async function send(one: OnItsWay): Promise<boolean> {
  put(one);
  try {
    take(one, await post<CommandView>('api/v1/commands', { ...one.body, timeout: 0 }, one.key));
    return true;
  } catch (error) {
    put({ ...one, state: error instanceof NoAnswer ? 'no answer' : 'refused', said: sentence(error) });
    return false;
  }
}

/** Sends a command about something. True when the supervisor has taken it. */
export function command(about: string, word: string, body: Record<string, unknown>): Promise<boolean> {
  const key = crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`;
  return send({ key, about, word, body, at: Date.now(), state: 'sending', said: '' });
}

/** The same request under the same key: what has arrived is not done twice. */
const again = (one: OnItsWay) => send({ ...one, state: 'sending', said: '' });

async function look(): Promise<void> {
  for (const one of commands.value) {
    if (isOver(one) || !one.id) continue;
    try {
      const seen = await get<CommandView>(`api/v1/commands/${part(one.id)}`);
      if (seen.state !== one.state) take(one, seen);
    } catch (error) {
      if (error instanceof Refused && error.status === 404) put({ ...one, state: 'unknown', said: 'the supervisor does not know it any more' });
    }
  }
}

const STEPS: [Standing[], string][] = [
  [['sending'], 'sent'],
  [['queued'], 'accepted'],
  [['sent'], 'given to the node'],
  [['running'], 'the node is at it'],
  [['done'], 'done'],
];

const ENDS: Partial<Record<Standing, string>> = {
  'no answer': 'no answer: whether it arrived is not known',
  refused: 'refused',
  failed: 'failed',
  expired: 'expired before the node began: it had no effect',
  unknown: 'nobody knows whether it had its effect; look at the session',
};

/** What was sent about something, and how far each is. */
export function Commands({ about }: { about: string }): JSX.Element | null {
  const its = commands.value.filter((one) => one.about === about);
  const isOpen = its.some((one) => !isOver(one) && one.id);
  useEffect(() => {
    if (!isOpen) return undefined;
    const timer = window.setInterval(() => {
      if (connection.value.state === 'live') void look();
    }, LOOK_EVERY);
    return () => window.clearInterval(timer);
  }, [isOpen]);
  if (its.length === 0) return null;
  return (
    <ul class="commands" aria-label="What you have asked for">
      {its.map((one) => (
        <li key={one.key} class={`command ${one.state.replace(' ', '-')}`} data-state={one.state}>
          <b>{one.word}</b> <span class="dim">{clock(one.at)}</span> <Progress one={one} />
          {one.said && (
            <span class="said-of-it">
              {' '}
              <Visible text={one.said.length > 600 ? `${one.said.slice(0, 600)}…` : one.said} />
            </span>
          )}
          {one.state === 'no answer' && (
            <button type="button" class="quiet" disabled={connection.value.state !== 'live'} onClick={() => void again(one)} title="the same request under the same key: what has arrived is not done twice">
              Send it again
            </button>
          )}
          {(isOver(one) || one.state === 'no answer') && (
            <button type="button" class="quiet" onClick={() => dismiss(one.key)} aria-label={`hide: ${one.word}`}>
              hide
            </button>
          )}
        </li>
      ))}
    </ul>
  );
}

function Progress({ one }: { one: OnItsWay }): JSX.Element {
  const end = ENDS[one.state];
  if (end) return <span class="end">{end}</span>;
  const at = STEPS.findIndex(([states]) => states.includes(one.state));
  const seen = STEPS.slice(0, at + 1);
  return (
    <span class="ticks">
      {(one.state === 'done' ? [seen[0], seen[1], seen[4]] : seen).map((step) => step && <span key={step[1]}>✓ {step[1]} </span>)}
      {one.state !== 'done' && <span class="spinner" aria-hidden="true" />}
    </span>
  );
}
