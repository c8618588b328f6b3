// Which screen is shown, by the address below the page's base.
import { computed, signal } from '@preact/signals';
import { part } from './api/call';

export type Screen =
  | { name: 'needs-you'; approval?: string }
  | { name: 'halt' }
  | { name: 'me' }
  | { name: 'nothing'; path: string };

const base = new URL(document.baseURI).pathname;
const path = signal(below(location.pathname));

function below(pathname: string): string {
  return pathname.startsWith(base) ? pathname.slice(base.length) : '';
}

export const screen = computed<Screen>(() => {
  const [name, id] = path.value.split('/');
  switch (name) {
    case '':
    case 'login':
      return { name: 'needs-you' };
    case 'needs-you':
      return id ? { name: 'needs-you', approval: decoded(id) } : { name: 'needs-you' };
    case 'halt':
    case 'me':
      return { name };
    default:
      return { name: 'nothing', path: path.value };
  }
});

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The address of a screen, as it stands in a link. */
export function href(name: 'needs-you' | 'halt' | 'me', id?: string): string {
  return base + (id ? `${name}/${part(id)}` : name);
}

/** Shows another screen. */
export function go(to: string): void {
  if (to === location.pathname) return;
  history.pushState(null, '', to);
  path.value = below(location.pathname);
  window.scrollTo(0, 0);
}

export function watch(): void {
  window.addEventListener('popstate', () => (path.value = below(location.pathname)));
  // Links of our own change the screen and not the page.
  document.addEventListener('click', (event) => {
    const link = event.target instanceof Element ? event.target.closest('a') : null;
    const is_plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
    if (!link || !is_plain || link.target || link.origin !== location.origin) return;
    if (!link.pathname.startsWith(base) || link.pathname.includes('/api/') || link.hash) return;
    event.preventDefault();
    go(link.pathname);
  });
}
