// Keys: single letters that never act in a field, and that can be switched off.
import { signal } from '@preact/signals';

export const areOn = signal(localStorage.getItem('hal.keys') !== 'off');

export function setKeys(on: boolean): void {
  areOn.value = on;
  localStorage.setItem('hal.keys', on ? 'on' : 'off');
}

export interface Key {
  key: string;
  does: string;
  act: () => void;
}

/** The keys of the screen that is shown. */
export const ofScreen = signal<Key[]>([]);
/** The keys of every screen. */
export const ofAll = signal<Key[]>([]);

let before = '';
let beforeAt = 0;

function isField(target: EventTarget | null): boolean {
  return target instanceof Element && !!target.closest('input:not([type=radio]):not([type=checkbox]), textarea, select');
}

export function watch(): void {
  document.addEventListener('keydown', (event) => {
    if (!areOn.value || event.ctrlKey || event.metaKey || event.altKey || event.repeat || isField(event.target)) return;
    if (document.querySelector('dialog[open]') && event.key !== '?') return;
    const pair = Date.now() - beforeAt < 1_500 ? `${before} ${event.key}` : '';
    const all = [...ofScreen.value, ...ofAll.value];
    const found = all.find((one) => one.key === pair) ?? all.find((one) => one.key === event.key);
    [before, beforeAt] = [event.key, Date.now()];
    if (!found) return;
    event.preventDefault();
    found.act();
  });
}
