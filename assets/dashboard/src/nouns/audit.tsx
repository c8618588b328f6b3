// Audit: who did what, from where, and how it ended; searched on the supervisor, and saved as a file.
import { useEffect, useRef, useState } from 'preact/hooks';
import type { JSX } from 'preact';
import { list, part, post, sentence } from '../api/call';
import { connection, me } from '../live/store';
import { Outcome, useAct } from '../parts/act';
import { Terminal, quoted } from '../parts/copy';
import { csv, save } from '../parts/save';
import { Name, Visible } from '../parts/text';
import { At } from '../parts/time';
import { refine, search } from '../route';
import { may, type AuditRecord } from '../words';

const PAGE = 100;

/** Records that one file holds at most. */
const MOST_SAVED = 10_000;

const SPANS: [string, string, number][] = [
  ['', 'ever', 0],
  ['1h', 'the last hour', 3_600],
  ['24h', 'the last day', 86_400],
  ['7d', 'the last 7 days', 604_800],
  ['30d', 'the last 30 days', 2_592_000],
];

const FIELDS: [string, string, string][] = [
  ['actor', 'Who', 'ada, or a policy'],
  ['action', 'Action', 'kill_session, budget'],
  ['target', 'On what', 'a session, node, budget'],
];

function pathOf(query: URLSearchParams, limit: number, cursor: string): string {
  const parts = FIELDS.filter(([name]) => query.get(name)).map(([name]) => `${name}=${part(query.get(name) ?? '')}`);
  const [, , seconds] = SPANS.find(([word]) => word === query.get('since')) ?? ['', '', 0];
  if (seconds) parts.push(`since=${part(new Date(Date.now() - seconds * 1_000).toISOString())}`);
  if (cursor) parts.push(`cursor=${part(cursor)}`);
  return `api/v1/audit?${[`limit=${limit}`, ...parts].join('&')}`;
}

export function AuditScreen(): JSX.Element {
  if (me.value && !may(me.value.role, 'admin')) {
    return (
      <>
        <h1 tabIndex={-1}>Audit</h1>
        <p class="dim">The audit takes the role admin; yours is {me.value.role}.</p>
      </>
    );
  }
  return <Records />;
}

function Records(): JSX.Element {
  const query = new URLSearchParams(search.value);
  const filter = query.toString();
  const [records, setRecords] = useState<AuditRecord[] | undefined>();
  const [cursor, setCursor] = useState('');
  const [why, setWhy] = useState('');
  const asked = useRef(0);
  const load = async (from: string) => {
    asked.current += 1;
    const own = asked.current;
    try {
      const { data, meta } = await list<AuditRecord>(pathOf(query, PAGE, from));
      if (own !== asked.current) return;
      setRecords((before) => [...(from ? (before ?? []) : []), ...data]);
      setCursor(meta?.next_cursor ?? '');
      setWhy('');
    } catch (error) {
      if (own === asked.current) setWhy(sentence(error));
    }
  };
  useEffect(() => void load(''), [filter]);
  return (
    <>
      <h1 tabIndex={-1}>Audit</h1>
      <Filters query={query} />
      <div class="chips">
        <button type="button" class="quiet" onClick={() => void load('')}>
          Look again
        </button>
        <Export query={query} />
        <Verify />
      </div>
      {why && (
        <p class="warning" role="alert">
          <Visible text={why} />
        </p>
      )}
      {!records && !why && <p class="dim">Asking the supervisor …</p>}
      {records?.length === 0 && !cursor && <p class="dim">No record matches.</p>}
      {records && records.length > 0 && (
        <ol class="records" aria-label="Records, newest first">
          {records.map((record) => (
            <Item key={record.seq} record={record} />
          ))}
        </ol>
      )}
      {cursor && (
        <button type="button" onClick={() => void load(cursor)}>
          Show older ones
        </button>
      )}
      <Terminal lines={[line(query), 'halctl audit verify', 'halctl audit export']} />
    </>
  );
}

function line(query: URLSearchParams): string {
  const flag = (name: string, field: string) => (query.get(field) ? ` --${name} ${quoted(query.get(field) ?? '')}` : '');
  return `halctl audit list${flag('user', 'actor')}${flag('action', 'action')}${flag('target', 'target')}${flag('since', 'since')}`;
}

function Filters({ query }: { query: URLSearchParams }): JSX.Element {
  const set = (name: string, value: string) => {
    const next = new URLSearchParams(search.value);
    if (value) next.set(name, value);
    else next.delete(name);
    refine(next);
  };
  return (
    <form class="filters audit-filters" role="search" onSubmit={(event) => event.preventDefault()}>
      {FIELDS.map(([name, label, hint]) => (
        <label key={name}>
          {label}
          <input type="search" name={name} placeholder={hint} value={query.get(name) ?? ''} autocomplete="off" spellcheck={false} onChange={(event) => set(name, event.currentTarget.value.trim())} />
        </label>
      ))}
      <label>
        Since
        <select value={query.get('since') ?? ''} onChange={(event) => set('since', event.currentTarget.value)}>
          {SPANS.map(([value, word]) => (
            <option key={value} value={value}>
              {word}
            </option>
          ))}
        </select>
      </label>
    </form>
  );
}

function Item({ record }: { record: AuditRecord }): JSX.Element {
  const [isOpen, setOpen] = useState(false);
  const isBad = !!record.error || record.result === 'denied' || record.result === 'failed';
  return (
    <li data-seq={record.seq}>
      <details onToggle={(event) => setOpen(event.currentTarget.open)}>
        <summary>
          <span class="one">
            <At at={record.at} /> <Name text={record.actor} /> <b><Visible text={record.action} /></b> <Name text={record.target} />{' '}
            <span class={isBad ? 'bad-word' : 'dim'}>
              <Visible text={record.result} />
            </span>
          </span>
        </summary>
        {isOpen && (
          <>
            <dl class="facts">
              {[
                ['number', String(record.seq)],
                ['kind', record.kind],
                ['over', record.through],
                ['from', record.from],
                ['target', record.target],
              ].map(([name, value]) => (
                <div key={name}>
                  <dt>{name}</dt>
                  <dd>
                    <Visible text={value ?? ''} />
                  </dd>
                </div>
              ))}
            </dl>
            {record.error && (
              <p class="warning">
                <Visible text={record.error} />
              </p>
            )}
            <pre class="args" tabIndex={0} aria-label="particulars">
              <Visible text={JSON.stringify(record.args, null, 2).slice(0, 32_768)} />
            </pre>
          </>
        )}
      </details>
    </li>
  );
}

/** All that match, as one file; it says when that is not all of it. */
function Export({ query }: { query: URLSearchParams }): JSX.Element {
  const acting = useAct();
  const all = async () => {
    const rows: AuditRecord[] = [];
    let cursor = '';
    do {
      const { data, meta } = await list<AuditRecord>(pathOf(query, 1_000, cursor));
      rows.push(...data);
      cursor = meta?.next_cursor ?? '';
    } while (cursor && rows.length < MOST_SAVED);
    return { rows, isWhole: !cursor };
  };
  const go = (kind: 'CSV' | 'JSON') =>
    void acting.act(kind, async () => {
      const { rows, isWhole } = await all();
      const name = `hal-audit-${new Date().toISOString().slice(0, 10)}`;
      if (kind === 'CSV') save(`${name}.csv`, 'text/csv', csv(rows as unknown as Record<string, unknown>[]));
      else save(`${name}.json`, 'application/json', JSON.stringify(rows, null, 2));
      return `${rows.length.toLocaleString()} records saved${isWhole ? '' : '; there are more: narrow it down, or halctl audit export'}`;
    });
  return (
    <>
      <button type="button" class="quiet" onClick={() => go('CSV')}>
        Save as CSV
      </button>
      <button type="button" class="quiet" onClick={() => go('JSON')}>
        Save as JSON
      </button>
      <Outcome of={acting} />
    </>
  );
}

/** Whether the chain is as it was written. */
function Verify(): JSX.Element {
  const acting = useAct();
  const go = () =>
    void acting.act('Verify', async () => {
      const verdict = await post<{ is_whole: boolean; records: number; found: number }>('api/v1/audit/verify', {});
      const records = `${verdict.records.toLocaleString()} records`;
      return verdict.is_whole ? `${records}, each as it was written` : `${records}; ${verdict.found} are not as they were written: halctl audit verify names them`;
    });
  return (
    <>
      <button type="button" class="quiet" disabled={connection.value.state !== 'live'} onClick={go}>
        Verify the chain
      </button>
      <Outcome of={acting} />
    </>
  );
}
