// What no topic tells: asked for again and again while somebody looks and the supervisor is reached.
import { useEffect, useRef, useState } from 'preact/hooks';
import { list, sentence, type Meta } from '../api/call';
import { chrome, connection } from '../live/store';

export interface Polled<T> {
  data: T | undefined;
  meta: Meta | undefined;
  /** Why it could not be asked for last; empty: it could. */
  why: string;
  /** When it was said, by this machine's clock. */
  at: number;
  reload: () => void;
}

/** Asks for a path now, every so many seconds, and when the counts in the head change. */
export function usePolled<T>(path: string, seconds: number): Polled<T> {
  const [known, setKnown] = useState<Omit<Polled<T>, 'reload'> & { path: string }>({ path, data: undefined, meta: undefined, why: '', at: 0 });
  const wanted = useRef(path);
  const isBusy = useRef(false);
  wanted.current = path;
  const ask = async () => {
    if (isBusy.current || !path) return;
    isBusy.current = true;
    const asked = wanted.current;
    try {
      const { data, meta } = await list<never>(asked);
      if (asked === wanted.current) setKnown({ path: asked, data: data as unknown as T, meta, why: '', at: Date.now() });
    } catch (error) {
      if (asked === wanted.current) setKnown((before) => ({ ...before, why: sentence(error) }));
    } finally {
      isBusy.current = false;
      if (asked !== wanted.current) void ask();
    }
  };
  const isLive = connection.value.state === 'live';
  const { nodes_online: online = 0, alerts = 0 } = chrome.value ?? {};
  useEffect(() => {
    if (isLive) void ask();
  }, [path, isLive, online, alerts]);
  useEffect(() => {
    const timer = window.setInterval(() => {
      if (!document.hidden && connection.value.state === 'live') void ask();
    }, seconds * 1_000);
    return () => window.clearInterval(timer);
  }, [seconds]);
  const isOf = known.path.split('?')[0] === path.split('?')[0];
  return { ...known, data: isOf ? known.data : undefined, reload: () => void ask() };
}
