// Times: how long ago, by the supervisor's clock; exactly, for whoever asks.
import { signal } from '@preact/signals';
import type { JSX } from 'preact';
import { now } from '../live/store';
import { NEVER } from '../words';

export const inUtc = signal(localStorage.getItem('hal.utc') === 'yes');

export function setUtc(utc: boolean): void {
  inUtc.value = utc;
  localStorage.setItem('hal.utc', utc ? 'yes' : 'no');
}

/** A span in words of one or two units. */
export function span(milliseconds: number): string {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return minutes < 10 ? `${minutes} min ${seconds % 60} s` : `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** The whole of a time, in this place's zone or in UTC. */
export function exact(at: string): string {
  const zone = inUtc.value ? { timeZone: 'UTC' } : {};
  return new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'long', ...zone }).format(new Date(at));
}

/** The time of day, and the day where it is another one. */
export function clock(at: string | number): string {
  const date = new Date(at);
  const zone = inUtc.value ? { timeZone: 'UTC' } : {};
  const isToday = Math.abs(now.value - date.getTime()) < 18 * 3_600_000;
  const day = isToday ? {} : ({ day: 'numeric', month: 'short' } as const);
  const time = { hour: '2-digit', minute: '2-digit', second: '2-digit' } as const;
  return new Intl.DateTimeFormat(undefined, { ...time, ...day, ...zone }).format(date) + (inUtc.value ? ' UTC' : '');
}

/** How long ago it was. */
export function Ago({ at, words = 'ago' }: { at: string; words?: string }): JSX.Element {
  if (at === NEVER || Number.isNaN(Date.parse(at))) return <>never</>;
  return (
    <time dateTime={at} title={exact(at)}>
      {span(now.value - Date.parse(at))}
      {words && ` ${words}`}
    </time>
  );
}

/** A moment. */
export function At({ at }: { at: string }): JSX.Element {
  return (
    <time dateTime={at} title={exact(at)}>
      {clock(at)}
    </time>
  );
}
