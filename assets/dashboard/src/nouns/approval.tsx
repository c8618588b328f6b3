// Needs you: everything that waits for a person, the one that waits longest first, and its receipts.
import { useEffect, useRef, useState } from 'preact/hooks';
import type { JSX } from 'preact';
import { Refused, get, part, sentence } from '../api/call';
import { approvals, chrome, haveApprovals, me } from '../live/store';
import * as keys from '../keys';
import { Line } from '../parts/copy';
import { href } from '../route';
import { wantsAnswer, type Approval } from '../words';
import { Card } from './card';

const byAge = (one: Approval, other: Approval) => one.asked_at.localeCompare(other.asked_at) || one.id.localeCompare(other.id);

/** Those that are shown keep their places while the screen is open: nothing moves away under a thumb. */
function useHeld(): { held: Approval[]; past: Approval[] } {
  const shown = useRef<string[]>([]);
  const [, again] = useState(0);
  const all = approvals.value;
  const wanting = [...all.values()].filter(wantsAnswer).sort(byAge);
  const fresh = wanting.filter((one) => !shown.current.includes(one.id)).map((one) => one.id);
  const held = [...shown.current.filter((id) => all.has(id)), ...fresh];
  useEffect(() => {
    if (held.join() !== shown.current.join()) {
      shown.current = held;
      again((count) => count + 1);
    }
  });
  const of = (ids: string[]) => ids.map((id) => all.get(id)).filter((one) => one !== undefined);
  const past = [...all.values()].filter((one) => !held.includes(one.id)).sort((a, b) => byAge(b, a));
  return { held: of(held), past };
}

export function NeedsYou({ approval }: { approval?: string | undefined }): JSX.Element {
  const { held, past } = useHeld();
  useKeys();
  if (approval !== undefined) return <One id={approval} />;
  const total = chrome.value?.needs_you ?? 0;
  const beyond = total - [...approvals.value.values()].filter(wantsAnswer).length;
  return (
    <>
      <h1 tabIndex={-1}>Needs you</h1>
      {!haveApprovals.value && <p class="dim">Asking the supervisor …</p>}
      {haveApprovals.value && held.length === 0 && <Nobody />}
      {held.map((one) => (
        <Card key={one.id} approval={one} level="h2" />
      ))}
      {beyond > 0 && <p class="dim">{beyond} more wait; they come here as these are answered.</p>}
      {past.length > 0 && (
        <details class="past">
          <summary>Answered lately ({past.length})</summary>
          {past.map((one) => (
            <Card key={one.id} approval={one} level="h2" />
          ))}
        </details>
      )}
    </>
  );
}

/** One approval, by its address: from a chat, a mail, or another page. */
function One({ id }: { id: string }): JSX.Element {
  const [fetched, setFetched] = useState<Approval | undefined>();
  const [why, setWhy] = useState('');
  const known = approvals.value.get(id);
  useEffect(() => {
    setWhy('');
    setFetched(undefined);
    get<Approval>(`api/v1/approvals/${part(id)}`).then(setFetched, (error: unknown) =>
      setWhy(error instanceof Refused && error.status === 404 ? 'There is no such approval, or it is long over.' : sentence(error)),
    );
  }, [id]);
  const shown = known ?? fetched;
  return (
    <>
      <h1 tabIndex={-1}>
        <a href={href('needs-you')} class="back">
          Needs you
        </a>
      </h1>
      {shown ? <Card approval={shown} level="h2" /> : <p class={why ? 'warning' : 'dim'}>{why || 'Asking the supervisor …'}</p>}
    </>
  );
}

function Nobody(): JSX.Element {
  const { nodes, nodes_online } = chrome.value ?? { nodes: 0, nodes_online: 0 };
  const running = chrome.value?.sessions['running'] ?? 0;
  return (
    <section class="nobody">
      <p class="big">Nobody waits for you.</p>
      {nodes === 0 ? (
        <>
          <p>No node is connected yet. On this machine, or on one that works:</p>
          <Line text="hal up" />
        </>
      ) : (
        <p class="dim">
          {running === 1 ? 'One session is' : `${running} sessions are`} running; {nodes_online} of {nodes} {nodes === 1 ? 'node' : 'nodes'} connected. When one of
          them asks something, it stands here, and in the title of this tab.
        </p>
      )}
    </section>
  );
}

function step(by: 1 | -1, wanting: boolean): void {
  const all = [...document.querySelectorAll<HTMLElement>(wanting ? '.card.waiting, .card.undelivered' : '.card')];
  const focused = document.activeElement?.closest<HTMLElement>('.card');
  const at = focused ? all.indexOf(focused) : -1;
  const next = focused ? all[at + by] : by > 0 ? all[0] : undefined;
  next?.focus({ preventScroll: true });
  next?.scrollIntoView({ block: 'start' });
}

/** Keys act on the card that has the focus and on no other: a second press shall not allow what nobody has looked at. */
function press(act: string): void {
  const card = document.activeElement?.closest<HTMLElement>('.card');
  if (!card) return step(1, true);
  const button = card.querySelector<HTMLButtonElement>(`[data-act="${act}"]`);
  button?.focus();
  button?.click();
}

function useKeys(): void {
  const role = me.value?.role;
  useEffect(() => {
    keys.ofScreen.value = [
      { key: 'j', does: 'next card', act: () => step(1, false) },
      { key: 'k', does: 'card before', act: () => step(-1, false) },
      { key: 'n', does: 'next card that waits', act: () => step(1, true) },
      { key: 'a', does: 'allow once', act: () => press('allow') },
      { key: 'A', does: 'always allow (asks once more)', act: () => press('always') },
      { key: 'd', does: 'deny, with words', act: () => press('deny') },
      { key: 's', does: 'snooze', act: () => press('snooze') },
    ];
    return () => {
      keys.ofScreen.value = [];
    };
  }, [role]);
}
