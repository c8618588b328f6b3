// The words of a conversation, and how its pages are put together: see src/protocol/conversation.rs of the supervisor.

export type EntryKind = 'text' | 'thought' | 'tool' | 'files' | 'asked' | 'answered' | 'failed' | 'retry' | 'usage' | 'gap' | 'note';

export interface ToolCard {
  name: string;
  state: string;
  title: string;
  input?: string;
  output?: string;
  error?: string;
  exit?: number;
}

export interface Entry {
  id: string;
  /** The event that told it last, and the first one: its place. 0: it is happening, and nothing of it is stored. */
  seq: number;
  place: number;
  at: string;
  kind: EntryKind;
  message_id?: string;
  text?: string;
  /** Characters that are left out. */
  cut?: number;
  is_growing?: boolean;
  tool?: ToolCard;
  usage?: { model: string; tokens: Record<string, number>; cost: number | null; seconds?: number };
}

export interface ConversationPage {
  entries: Entry[];
  roles: Record<string, string>;
  first: number;
  last: number;
  more: boolean;
}

/** What is known of a conversation. It never changes: each page makes another one. */
export interface Conversation {
  entries: Entry[];
  roles: Readonly<Record<string, string>>;
  first: number;
  last: number;
  /** True while there is more before the first. */
  hasMore: boolean;
}

export const NOTHING: Conversation = { entries: [], roles: {}, first: 0, last: 0, hasMore: false };

/** With another page: what is told on both is as the later event says, and stands where it was first told. */
export function joined(known: Conversation, page: ConversationPage, isOlder: boolean): Conversation {
  const all = new Map(known.entries.map((entry) => [entry.id, entry]));
  for (const entry of page.entries) {
    const other = all.get(entry.id);
    if (!other) {
      all.set(entry.id, entry);
      continue;
    }
    const [later, earlier] = other.seq >= entry.seq ? [other, entry] : [entry, other];
    // What a message has used stands below all of it.
    all.set(entry.id, later.kind === 'usage' ? later : { ...later, place: Math.min(other.place, entry.place), at: earlier.at });
  }
  const isFirst = known.last === 0;
  return {
    entries: [...all.values()].sort((one, other) => one.place - other.place),
    roles: { ...page.roles, ...known.roles, ...(isOlder ? {} : page.roles) },
    first: isFirst || (isOlder && page.first > 0) ? page.first : known.first,
    last: isOlder && !isFirst ? known.last : Math.max(known.last, page.last),
    hasMore: isFirst || isOlder ? page.more : known.hasMore,
  };
}
