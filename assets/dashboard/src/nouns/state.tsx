// The state of a session, as a word and a colour.
import type { JSX } from 'preact';
import type { Status } from '../words';

export const WORDS: Record<Status, string> = {
  waiting: 'needs you',
  running: 'running',
  retrying: 'retrying',
  idle: 'idle',
  error: 'error',
  unreachable: 'unreachable',
  ended: 'ended',
};

const MARKS: Record<Status, string> = { waiting: '?', running: '▶', retrying: '↻', idle: '‖', error: '✕', unreachable: '∅', ended: '■' };

export function StatePill({ status, lastKnown, isPaused }: { status: Status; lastKnown?: Status | undefined; isPaused?: boolean | undefined }): JSX.Element {
  return (
    <span class={`pill session ${status}`}>
      <span aria-hidden="true">{MARKS[status] ?? '·'}</span> {WORDS[status] ?? status}
      {lastKnown && `, was ${lastKnown === 'waiting' ? 'waiting' : WORDS[lastKnown]}`}
      {isPaused && ', paused'}
    </span>
  );
}
