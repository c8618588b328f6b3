// What screen readers are told: one sentence in five seconds, but what must not wait does not.
import { signal } from '@preact/signals';
import type { JSX } from 'preact';

const PACE = 5_000;

const polite = signal('');
const urgent = signal('');
let last = 0;
let later: number | undefined;

export function say(text: string): void {
  window.clearTimeout(later);
  const wait = Math.max(0, last + PACE - Date.now());
  later = window.setTimeout(() => {
    last = Date.now();
    polite.value = text;
  }, wait);
}

export function cry(text: string): void {
  urgent.value = text;
}

export function Voice(): JSX.Element {
  return (
    <div class="unseen">
      <p aria-live="polite">{polite.value}</p>
      <p aria-live="assertive">{urgent.value}</p>
    </div>
  );
}
