// A conversation: what was said and done, older pages on demand, newer ones as they come, words as they are written.
import { effect } from '@preact/signals';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import type { JSX } from 'preact';
import { get, part, sentence } from '../api/call';
import { NOTHING, joined, type Conversation, type ConversationPage, type Entry } from '../conversation';
import * as store from '../live/store';
import { EntryView } from './entry';

/** Entries that are in the page at most. */
const MOST = 1_500;

/** Pages that are fetched to come up to now; who is further behind begins with the last page again. */
const PATIENCE = 5;

/** Further from the end than this, somebody reads what was before, and is left in peace. */
const NEAR = 120;

interface Growing {
  words: ReadonlyMap<string, Entry>;
}

async function pageOf(id: string, query: string): Promise<ConversationPage> {
  return get<ConversationPage>(`api/v1/sessions/${part(id)}/conversation${query}`);
}

function useConversation(id: string, events: number): { known: Conversation; why: string; older: (isComing: () => void) => Promise<void> } {
  const [known, setKnown] = useState<Conversation>(NOTHING);
  const [why, setWhy] = useState('');
  const latest = useRef(NOTHING);
  const wanted = useRef(0);
  const line = useRef(Promise.resolve());
  const put = (next: Conversation) => {
    latest.current = next;
    setKnown(next);
  };
  /** One after the other: what is asked for while something comes is not forgotten. */
  const inTurn = (task: () => Promise<void>) => {
    const done = line.current.then(task).then(
      () => setWhy(''),
      (error: unknown) => setWhy(sentence(error)),
    );
    line.current = done;
    return done;
  };
  const catchUp = async (asked: number) => {
    // Whoever is asked again meanwhile looks then.
    if (asked !== wanted.current) return;
    for (let no = 0; ; no += 1) {
      const { last } = latest.current;
      const isAnew = last === 0 || no >= PATIENCE;
      const page = await pageOf(id, isAnew ? '' : `?after=${last}`);
      put(isAnew ? joined(NOTHING, page, false) : joined(latest.current, page, false));
      if (isAnew || !page.more) break;
    }
  };
  useEffect(() => {
    wanted.current += 1;
    const asked = wanted.current;
    void inTurn(() => catchUp(asked));
  }, [events, store.connection.value.state === 'live']);
  const older = (isComing: () => void) =>
    inTurn(async () => {
      if (!latest.current.hasMore) return;
      const page = await pageOf(id, `?before=${latest.current.first}`);
      isComing();
      put(joined(latest.current, page, true));
    });
  return { known, why, older };
}

/** What is being written, and not stored yet. */
function useGrowing(known: Conversation): Entry[] {
  const [growing, setGrowing] = useState<Growing>({ words: new Map() });
  useEffect(
    () =>
      effect(() => {
        const frame = store.live.value;
        if (!frame) return;
        setGrowing((before) => {
          const words = new Map(frame.dropped > 0 ? [] : before.words);
          for (const { part: name, message, text } of frame.words) {
            const entry = words.get(`part/${name}`);
            const whole = `${entry?.text ?? (frame.dropped > 0 ? '… ' : '')}${text}`;
            words.set(`part/${name}`, { id: `part/${name}`, seq: 0, place: 0, at: new Date(store.now.peek()).toISOString(), kind: 'text', message_id: message, text: whole, is_growing: true });
          }
          for (const entry of frame.entries) words.set(entry.id, entry);
          return { words };
        });
      }),
    [],
  );
  const stored = new Map(known.entries.map((entry) => [entry.id, entry]));
  const isNews = (entry: Entry) => {
    const its = stored.get(entry.id);
    return !its || (its.is_growing === true && (its.text?.length ?? 0) <= (entry.text?.length ?? 0));
  };
  const rest = [...growing.words.values()].filter(isNews);
  useEffect(() => {
    // What is stored by now is not kept twice.
    if (rest.length < growing.words.size) setGrowing({ words: new Map(rest.map((entry) => [entry.id, entry])) });
  }, [known]);
  return rest;
}

export function ConversationView({ id, events }: { id: string; events: number }): JSX.Element {
  const { known, why, older } = useConversation(id, events);
  const growing = useGrowing(known);
  const [isAtStart, setAtStart] = useState(false);
  const before = useRef<{ height: number; top: number } | undefined>(undefined);
  const isAtEnd = useRef(true);
  useEffect(() => {
    const look = () => {
      isAtEnd.current = window.innerHeight + window.scrollY >= document.documentElement.scrollHeight - NEAR;
    };
    window.addEventListener('scroll', look, { passive: true });
    return () => window.removeEventListener('scroll', look);
  }, []);
  const byId = new Map(growing.map((entry) => [entry.id, entry]));
  const replaced = known.entries.map((entry) => {
    const newer = byId.get(entry.id);
    if (newer) byId.delete(entry.id);
    return newer ? { ...newer, place: entry.place, at: entry.at } : entry;
  });
  const all = [...replaced, ...byId.values()];
  const isFolded = all.length > MOST;
  const shown = !isFolded ? all : isAtStart ? all.slice(0, MOST) : all.slice(-MOST);
  useLayoutEffect(() => {
    const root = document.documentElement;
    if (before.current) {
      window.scrollTo(0, before.current.top + root.scrollHeight - before.current.height);
      before.current = undefined;
    } else if (isAtEnd.current && !isAtStart && known.last > 0) {
      window.scrollTo(0, root.scrollHeight);
    }
  });
  const earlier = () =>
    older(() => {
      before.current = { height: document.documentElement.scrollHeight, top: window.scrollY };
      setAtStart(true);
    });
  const toEnd = () => {
    setAtStart(false);
    isAtEnd.current = true;
  };
  let speaker = '';
  return (
    <section class="conversation" aria-label="Conversation">
      {why && (
        <p class="warning" role="alert">
          {why}
        </p>
      )}
      {known.last === 0 && !why && <p class="dim">Asking the supervisor …</p>}
      {known.hasMore && (!isFolded || isAtStart) && (
        <button type="button" onClick={() => void earlier()}>
          Show what was before
        </button>
      )}
      {isFolded && !isAtStart && (
        <button type="button" onClick={() => setAtStart(true)}>
          Show the {(all.length - MOST).toLocaleString()} before these
        </button>
      )}
      <div class="entries" role="log" aria-live="off" aria-label="What was said and done">
        {shown.map((entry) => {
          const by = entry.kind === 'text' ? (known.roles[entry.message_id ?? ''] ?? 'assistant') : speaker;
          const isNew = entry.kind === 'text' && by !== speaker;
          speaker = by;
          return <EntryView key={entry.id} entry={entry} by={by} isNew={isNew} />;
        })}
      </div>
      {isFolded && isAtStart && (
        <button type="button" onClick={toEnd}>
          To the latest ({(all.length - MOST).toLocaleString()} more)
        </button>
      )}
    </section>
  );
}
