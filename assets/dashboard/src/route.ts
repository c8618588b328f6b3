// Which screen is shown, by the address below the page's base.
import { computed, signal } from '@preact/signals';
import { part } from './api/call';

export type Screen =
  | { name: 'needs-you'; approval?: string }
  | { name: 'fleet' }
  | { name: 'sessions'; session: string }
  | { name: 'nodes'; node?: string }
  | { name: 'alerts'; alert?: string }
  | { name: 'money' }
  | { name: 'audit' }
  | { name: 'halt' }
  | { name: 'me' }
  | { name: 'nothing'; path: string };

const base = new URL(document.baseURI).pathname;
const path = signal(below(location.pathname));

/** What stands behind the `?` of the address. */
export const search = signal(location.search.slice(1));

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
    case 'sessions':
      return id ? { name: 'sessions', session: decoded(id) } : { name: 'fleet' };
    case 'nodes':
      return id ? { name, node: decoded(id) } : { name };
    case 'alerts':
      return id ? { name, alert: decoded(id) } : { name };
    case 'fleet':
    case 'money':
    case 'audit':
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
export function href(name: Exclude<Screen['name'], 'nothing'>, id?: string): string {
  return base + (id ? `${name}/${part(id)}` : name);
}

function look(): void {
  path.value = below(location.pathname);
  search.value = location.search.slice(1);
}

/** Shows another screen. */
export function go(to: string): void {
  if (to === location.pathname + location.search) return;
  history.pushState(null, '', to);
  look();
  window.scrollTo(0, 0);
}

/** The same screen with something else behind the `?`: no step back leads to each letter of a search. */
export function refine(query: URLSearchParams): void {
  const text = query.toString();
  history.replaceState(null, '', location.pathname + (text ? `?${text}` : ''));
  search.value = text;
}

export function watch(): void {
  window.addEventListener('popstate', look);
  // Links of our own change the screen and not the page.
  document.addEventListener('click', (event) => {
    const link = event.target instanceof Element ? event.target.closest('a') : null;
    const is_plain = event.button === 0 && !event.metaKey && !event.ctrlKey && !event.shiftKey && !event.altKey;
    if (!link || !is_plain || link.target || link.origin !== location.origin || link.hasAttribute('download')) return;
    if (!link.pathname.startsWith(base) || link.pathname.includes('/api/') || link.hash) return;
    event.preventDefault();
    go(link.pathname + link.search);
  });
}
