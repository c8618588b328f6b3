// Which rows of a long list are loaded, by what is in view; and an order that stays while somebody points at it.
import { useEffect, useRef, useState } from 'preact/hooks';
import type { RefObject } from 'preact';

export interface Layout {
  total: number;
  /** The place of the first row that is loaded, and how many are. */
  from: number;
  loaded: number;
  groups: { name: string; count: number }[];
}

/** Rows that are asked for beside those in view, and the step in which the window moves. */
const BESIDE = 20;
const STEP = 10;

/** The longest that an order is held. */
const HELD = 15_000;

function height(table: HTMLTableElement, name: string): number {
  return Number.parseFloat(getComputedStyle(table).getPropertyValue(name)) || 50;
}

/** The first row in view, counted from 0, as far as the table's top is scrolled away. */
function firstInView(table: HTMLTableElement, layout: Layout): number {
  const [row, heading] = [height(table, '--row'), height(table, '--heading')];
  let left = -table.getBoundingClientRect().top;
  let before = 0;
  for (const group of layout.groups) {
    left -= heading;
    const its = group.count * row;
    if (left < its) break;
    left -= its;
    before += group.count;
  }
  return before + Math.max(0, Math.floor(left / row));
}

export function useWindow(table: RefObject<HTMLTableElement | null>, layout: Layout | undefined): { from: number; rows: number } {
  const [from, setFrom] = useState(0);
  const known = useRef(layout);
  known.current = layout;
  const visible = () => Math.ceil(window.innerHeight / (table.current ? height(table.current, '--row') : 50));
  const rows = Math.min(200, visible() + 2 * BESIDE);
  useEffect(() => {
    let frame = 0;
    const look = () => {
      frame = 0;
      if (!table.current || !known.current) return;
      const first = firstInView(table.current, known.current);
      const wanted = Math.max(0, Math.floor((first - BESIDE) / STEP) * STEP);
      setFrom((before) => (Math.abs(wanted - before) >= STEP ? wanted : before));
    };
    const later = () => {
      if (!frame) frame = requestAnimationFrame(look);
    };
    window.addEventListener('scroll', later, { passive: true });
    window.addEventListener('resize', later);
    later();
    return () => {
      window.removeEventListener('scroll', later);
      window.removeEventListener('resize', later);
      cancelAnimationFrame(frame);
    };
  }, []);
  return { from, rows };
}

/** The head of a list; while a pointer or the focus is among its rows it stays as it was, unless another one was asked for. */
export function useHeld<Head extends { query: string }>(table: RefObject<HTMLElement | null>, latest: Head | undefined): Head | undefined {
  const held = useRef<{ head: Head; since: number } | undefined>(undefined);
  const [, again] = useState(0);
  const isPointedAt = () => {
    const rows = table.current?.querySelector('tbody');
    return !!rows && (rows.matches(':hover') || rows.contains(document.activeElement));
  };
  useEffect(() => {
    const look = window.setInterval(() => again((count) => count + 1), 1_000);
    return () => window.clearInterval(look);
  }, []);
  if (!latest) return undefined;
  const before = held.current;
  const isSame = before && before.head.query === latest.query;
  if (before && isSame && before.head !== latest && isPointedAt() && Date.now() - before.since < HELD) return before.head;
  if (before?.head !== latest) held.current = { head: latest, since: Date.now() };
  return latest;
}
