// Fleet: every session, by state, with why it waits and since when. What is not in view is not here: the supervisor has it.
import { useEffect, useLayoutEffect, useMemo, useRef, useState } from 'preact/hooks';
import type { JSX, RefObject } from 'preact';
import * as keys from '../keys';
import { follow } from '../live/socket';
import { fleet, me } from '../live/store';
import { Bar, Money } from '../parts/amount';
import { Line, Terminal, quoted } from '../parts/copy';
import { Name, Visible } from '../parts/text';
import { Ago } from '../parts/time';
import { href, refine, search } from '../route';
import { STATES, type FleetHead, type FleetNames, type SessionRow, type Status } from '../words';
import { StatePill, WORDS } from './state';
import { useHeld, useWindow, type Layout } from './window';

const SORTS: [string, string][] = [
  ['state', 'by state'],
  ['active', 'last active first'],
  ['cost', 'most expensive first'],
  ['context', 'fullest context first'],
  ['started', 'newest first'],
  ['title', 'by title'],
];

const FIELDS = ['status', 'project', 'node', 'label', 'q', 'sort'];

/** The part of the address that the supervisor is asked with. */
function asked(): URLSearchParams {
  const given = new URLSearchParams(search.value);
  const query = new URLSearchParams();
  for (const field of FIELDS) if (given.get(field)) query.set(field, given.get(field) ?? '');
  return query;
}

function set(field: string, value: string): void {
  const query = new URLSearchParams(search.value);
  if (value) query.set(field, value);
  else query.delete(field);
  refine(query);
}

export function FleetScreen(): JSX.Element {
  const query = asked();
  const filter = query.toString();
  const states = (query.get('status') ?? '').split(',').filter((word): word is Status => STATES.includes(word as Status));
  const latest = fleet.value?.get('head') as FleetHead | undefined;
  const names = fleet.value?.get('names') as FleetNames | undefined;
  const isCurrent = latest !== undefined && withoutWindow(latest.query) === filter;
  const table = useRef<HTMLTableElement>(null);
  const head = useHeld(table, isCurrent ? latest : undefined);
  const isGrouped = (query.get('sort') ?? 'state') === 'state';
  const layout = useMemo(() => (head ? layoutOf(head, states, isGrouped) : undefined), [head, filter]);
  const { from, rows } = useWindow(table, layout);
  const topic = `fleet?${filter}${filter ? '&' : ''}from=${from}&rows=${rows}`;
  useEffect(() => follow([topic]), [topic]);
  useEffect(() => () => follow([]), []);
  useKeys(table);
  return (
    <>
      <h1 tabIndex={-1}>Fleet</h1>
      <Filters query={query} names={names} />
      <Counts counts={latest?.counts} states={states} />
      {!head && <p class="dim">Asking the supervisor …</p>}
      {head && layout && layout.total === 0 && <Nobody isFiltered={filter !== ''} />}
      {head && layout && layout.total > 0 && <Table table={table} head={head} layout={layout} />}
      <Terminal lines={[line(query)]} />
    </>
  );
}

function withoutWindow(query: string): string {
  const all = new URLSearchParams(query);
  all.delete('from');
  all.delete('rows');
  return all.toString();
}

function line(query: URLSearchParams): string {
  const flag = (name: string, field: string) => (query.get(field) ? ` --${name} ${quoted(query.get(field) ?? '')}` : '');
  return `halctl sessions list${flag('status', 'status')}${flag('project', 'project')}${flag('node', 'node')}${flag('label', 'label')}`;
}

/** How many rows of each state there are, in the order of the list. */
function layoutOf(head: FleetHead, states: Status[], isGrouped: boolean): Layout {
  const groups = STATES.filter((state) => states.length === 0 || states.includes(state)).map((state) => ({ name: state, count: head.counts[state] ?? 0 }));
  const total = groups.reduce((sum, group) => sum + group.count, 0);
  return { total, from: head.from, loaded: head.order.length, groups: isGrouped ? groups.filter((group) => group.count > 0) : [] };
}

function Filters({ query, names }: { query: URLSearchParams; names: FleetNames | undefined }): JSX.Element {
  const [text, setText] = useState(query.get('q') ?? '');
  const later = useRef<number | undefined>(undefined);
  const given = query.get('q') ?? '';
  useEffect(() => setText((known) => (known.trim() === given ? known : given)), [given]);
  const type = (value: string) => {
    setText(value);
    window.clearTimeout(later.current);
    later.current = window.setTimeout(() => set('q', value.trim()), 200);
  };
  const choice = (field: 'project' | 'node', all: string, known: string[]) => (
    <label>
      <span class="unseen">{field}</span>
      <select value={query.get(field) ?? ''} onChange={(event) => set(field, event.currentTarget.value)}>
        <option value="">{all}</option>
        {[...new Set([...known, ...(query.get(field) ? [query.get(field) ?? ''] : [])])].map((name) => (
          <option key={name} value={name}>
            {name.length > 60 ? `${name.slice(0, 60)}…` : name}
          </option>
        ))}
      </select>
    </label>
  );
  return (
    <form class="filters" role="search" onSubmit={(event) => event.preventDefault()}>
      <label>
        <span class="unseen">Search title, id, project, node</span>
        <input type="search" name="q" placeholder="Search title, id, project, node" value={text} autocomplete="off" spellcheck={false} onInput={(event) => type(event.currentTarget.value)} />
      </label>
      {choice('project', 'all projects', names?.projects ?? [])}
      {choice('node', 'all nodes', names?.nodes ?? [])}
      <label>
        <span class="unseen">order</span>
        <select value={query.get('sort') ?? 'state'} onChange={(event) => set('sort', event.currentTarget.value === 'state' ? '' : event.currentTarget.value)}>
          {SORTS.map(([value, word]) => (
            <option key={value} value={value}>
              {word}
            </option>
          ))}
        </select>
      </label>
    </form>
  );
}

/** How many there are in each state; each is a filter. */
function Counts({ counts, states }: { counts: FleetHead['counts'] | undefined; states: Status[] }): JSX.Element {
  const toggle = (state: Status) => {
    const others = states.filter((one) => one !== state);
    set('status', (states.includes(state) ? others : [...others, state]).join(','));
  };
  return (
    <div class="chips" role="group" aria-label="States">
      {STATES.filter((state) => (counts?.[state] ?? 0) > 0 || states.includes(state)).map((state) => (
        <button key={state} type="button" class={`chip ${state}`} aria-pressed={states.includes(state)} onClick={() => toggle(state)}>
          {WORDS[state]} <b>{(counts?.[state] ?? 0).toLocaleString()}</b>
        </button>
      ))}
      {states.length > 0 && (
        <button type="button" class="quiet" onClick={() => set('status', '')}>
          all states
        </button>
      )}
    </div>
  );
}

function Nobody({ isFiltered }: { isFiltered: boolean }): JSX.Element {
  return isFiltered ? (
    <section class="nobody">
      <p class="big">No session matches.</p>
      <button type="button" onClick={() => refine(new URLSearchParams())}>
        Show all
      </button>
    </section>
  ) : (
    <section class="nobody">
      <p class="big">There is no session yet.</p>
      <p>Start one at a terminal:</p>
      <Line text="halctl sessions start PROJECT 'what is to be done'" />
    </section>
  );
}

function Table({ table, head, layout }: { table: RefObject<HTMLTableElement | null>; head: FleetHead; layout: Layout }): JSX.Element {
  const known = useRef(new Map<string, SessionRow>());
  const things = fleet.value;
  const rows = head.order.map((id) => (things?.get(`row/${id}`) as SessionRow | undefined) ?? known.current.get(id)).filter((row) => row !== undefined);
  useLayoutEffect(() => {
    known.current = new Map(rows.map((row) => [row.id, row]));
  });
  const cells: JSX.Element[] = [];
  let [place, start] = [0, 0];
  const starts = new Map<number, Layout['groups'][number]>();
  for (const group of layout.groups) {
    starts.set(start, group);
    start += group.count;
  }
  for (const row of rows) {
    const index = head.from + place;
    const group = starts.get(index);
    if (group) cells.push(<Heading key={`group ${group.name}`} group={group} />);
    cells.push(<Row key={row.id} row={row} index={index} />);
    place += 1;
  }
  return (
    <table role="table" class="fleet" ref={table} aria-rowcount={layout.total + 1} aria-label="Sessions">
      <thead role="rowgroup">
        <tr role="row" aria-rowindex={1}>
          <th scope="col" role="columnheader">State</th>
          <th scope="col" role="columnheader">Session</th>
          <th scope="col" role="columnheader">Project, node</th>
          <th scope="col" role="columnheader">Context</th>
          <th scope="col" role="columnheader">To do</th>
          <th scope="col" role="columnheader" class="number">
            Cost
          </th>
        </tr>
      </thead>
      <tbody role="rowgroup">
        <Space rows={above(layout)} />
        {cells}
        <Space rows={below(layout)} />
      </tbody>
    </table>
  );
}

/** Rows, and headings among them, before and behind the window. */
function above(layout: Layout): [number, number] {
  let start = 0;
  let headings = 0;
  for (const group of layout.groups) {
    if (start < layout.from) headings += 1;
    start += group.count;
  }
  return [layout.from, headings];
}

function below(layout: Layout): [number, number] {
  const end = layout.from + layout.loaded;
  let start = 0;
  let headings = 0;
  for (const group of layout.groups) {
    if (start >= end) headings += 1;
    start += group.count;
  }
  return [Math.max(0, layout.total - end), headings];
}

function Space({ rows: [rows, headings] }: { rows: [number, number] }): JSX.Element | null {
  if (rows === 0) return null;
  return (
    <tr aria-hidden="true" class="space" style={{ height: `calc(${rows} * var(--row) + ${headings} * var(--heading))` }}>
      <td colSpan={6} />
    </tr>
  );
}

function Heading({ group }: { group: { name: string; count: number } }): JSX.Element {
  return (
    <tr role="row" class="group">
      <th scope="rowgroup" role="rowheader" colSpan={6}>
        <span class="title">{WORDS[group.name as Status]}</span> <span class="dim">{group.count.toLocaleString()}</span>
      </th>
    </tr>
  );
}

function Row({ row, index }: { row: SessionRow; index: number }): JSX.Element {
  return (
    <tr role="row" class={`row ${row.status}`} aria-rowindex={index + 2} data-session={row.id}>
      <td role="cell" class="in-state">
        <StatePill status={row.status} lastKnown={row.last_known} isPaused={row.paused} />
        <span class="since">
          <Ago at={row.since} words="" />
        </span>
      </td>
      <td role="cell" class="what-is">
        <a href={href('sessions', row.id)} class="one">
          {row.parent_id && <span title="a helper of another session">↳ </span>}
          <Visible text={row.title || row.id} />
        </a>
        <span class="one dim">
          {row.status === 'waiting' && row.asks > 1 && `${row.asks} wait: `}
          <Visible text={row.why || row.labels?.join(', ') || row.id} />
        </span>
      </td>
      <td role="cell" class="where">
        <span class="one">
          <Name text={row.project} />
        </span>
        <span class="one dim">
          <Name text={row.node_id} />
        </span>
      </td>
      <td role="cell" class="context">{row.context && <Bar used={row.context.used} limit={row.context.limit} of="context" />}</td>
      <td role="cell" class="todo">{row.todo && `${row.todo[0]}/${row.todo[1]}`}</td>
      <td role="cell" class="number cost">
        <Money micros={row.cost_micros} />
      </td>
    </tr>
  );
}

/** The next row and the one before, whatever has the focus. */
function useKeys(table: RefObject<HTMLTableElement | null>): void {
  useEffect(() => {
    const step = (by: 1 | -1) => {
      const links = [...(table.current?.querySelectorAll<HTMLAnchorElement>('tr.row a') ?? [])];
      const at = links.findIndex((link) => link === document.activeElement);
      const top = links.findIndex((link) => link.getBoundingClientRect().top > 60);
      const next = at < 0 ? links[Math.max(0, top)] : links[at + by];
      next?.focus({ preventScroll: true });
      next?.scrollIntoView({ block: 'nearest' });
    };
    keys.ofScreen.value = [
      { key: 'j', does: 'next session', act: () => step(1) },
      { key: 'k', does: 'session before', act: () => step(-1) },
      { key: '/', does: 'search', act: () => document.querySelector<HTMLInputElement>('.filters input')?.focus() },
    ];
    return () => {
      keys.ofScreen.value = [];
    };
  }, [me.value]);
}
