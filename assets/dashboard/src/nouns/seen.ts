// That somebody really had a card before their eyes: told once, when most of it was in view of a visible page for a while.
import { post } from '../api/call';
import { me } from '../live/store';
import { may } from '../words';

/** A card that is only scrolled past was not seen. */
const LOOKED = 1_000;
/** Cards that come into view together are told of together. */
const TOGETHER = 300;

const told = new Set<string>();
const timers = new Map<Element, number>();
let open = new Set<string>();
let later: number | undefined;

const eyes = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) {
      window.clearTimeout(timers.get(entry.target));
      timers.delete(entry.target);
      // One that is higher than the window is in view when it fills most of that.
      const fills = entry.intersectionRect.height > window.innerHeight * 0.6;
      if (entry.intersectionRatio > 0.6 || fills) timers.set(entry.target, window.setTimeout(() => note(entry.target), LOOKED));
    }
  },
  { threshold: [0, 0.25, 0.5, 0.61, 0.75, 1] },
);

function note(card: Element): void {
  const id = card.getAttribute('data-approval');
  if (!id || document.hidden || !card.isConnected || told.has(id) || !may(me.value?.role, 'approver')) return;
  told.add(id);
  open.add(id);
  window.clearTimeout(later);
  later = window.setTimeout(() => {
    const ids = [...open].slice(0, 100);
    open = new Set();
    // What cannot be told is told when the card comes into view again.
    post('api/v1/approvals/seen', { ids }).catch(() => ids.forEach((one) => told.delete(one)));
  }, TOGETHER);
}

/** Watches a card; gives what ends that. */
export function watch(card: Element): () => void {
  eyes.observe(card);
  return () => {
    eyes.unobserve(card);
    window.clearTimeout(timers.get(card));
    timers.delete(card);
  };
}
