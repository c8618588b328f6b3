// Nodes: which machines are connected, where their events stand, what runs there; letting one in, and out.
import { useState } from 'preact/hooks';
import type { JSX } from 'preact';
import { part, post, remove } from '../api/call';
import { connection, me, now } from '../live/store';
import { Outcome, Sure, useAct } from '../parts/act';
import { bytes } from '../parts/amount';
import { Line, Terminal, quoted } from '../parts/copy';
import { usePolled } from '../parts/polled';
import { Name, Visible } from '../parts/text';
import { Ago, At, span } from '../parts/time';
import { href, refine, search } from '../route';
import { NEVER, may, type NodeView } from '../words';

/** Nodes that are shown before somebody asks for more. */
const FEW = 100;

/** A clock further off than this is worth a word. */
const OFF_MS = 2_000;

export function NodesScreen({ node }: { node?: string | undefined }): JSX.Element {
  const [most, setMost] = useState(FEW);
  const status = new URLSearchParams(search.value).get('status') ?? '';
  const path = node ? `api/v1/nodes/${part(node)}` : `api/v1/nodes?limit=${most}${status ? `&status=${part(status)}` : ''}`;
  const { data, meta, why } = usePolled<NodeView[] | NodeView>(path, node ? 2 : most > FEW ? 20 : 5);
  const nodes = data === undefined ? undefined : Array.isArray(data) ? data : [data];
  const total = meta?.total ?? nodes?.length ?? 0;
  return (
    <>
      <h1 tabIndex={-1}>
        {node ? (
          <a href={href('nodes')} class="back">
            Nodes
          </a>
        ) : (
          'Nodes'
        )}
      </h1>
      {why && (
        <p class="warning" role="alert">
          <Visible text={why} />
        </p>
      )}
      {!node && (
        <div class="chips" role="group" aria-label="Which nodes">
          {['', 'online', 'offline'].map((word) => (
            <button key={word} type="button" class="chip" aria-pressed={status === word} onClick={() => refine(new URLSearchParams(word ? { status: word } : {}))}>
              {word || 'all'}
            </button>
          ))}
          <span class="dim">
            {total} {total === 1 ? 'node' : 'nodes'}
          </span>
        </div>
      )}
      {!nodes && !why && <p class="dim">Asking the supervisor …</p>}
      {nodes?.length === 0 && (
        <section class="nobody">
          <p class="big">No node {status ? `is ${status}` : 'is here yet'}.</p>
          {!status && (
            <>
              <p>On this machine, in a folder of yours:</p>
              <Line text="hal up" />
            </>
          )}
        </section>
      )}
      {nodes?.map((one) => (
        <NodeCard key={one.id} node={one} isOpen={!!node || nodes.length <= 3} />
      ))}
      {nodes && total > nodes.length && (
        <button type="button" onClick={() => setMost(1_000)}>
          Show all {total}
        </button>
      )}
      {!node && <Join />}
      <Terminal lines={node ? [`halctl nodes get ${quoted(node)}`, `halctl nodes revoke ${quoted(node)}`] : ['halctl nodes list', 'halctl join-token create --once']} />
    </>
  );
}

function fact(name: string, value: JSX.Element | string): JSX.Element {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}

function NodeCard({ node, isOpen }: { node: NodeView; isOpen: boolean }): JSX.Element {
  const { journal, resources } = node;
  const isOnline = node.status === 'online';
  const faults = node.projects.filter((project) => project.error).length + (node.backends?.filter((backend) => backend.fault).length ?? 0);
  const isOff = Math.abs(node.clock_ahead_ms) > OFF_MS;
  return (
    <article class={`card node ${node.status}`} data-node={node.id} aria-labelledby={`n-${node.id}`}>
      <header>
        <h2 id={`n-${node.id}`}>
          <a href={href('nodes', node.id)}>
            <Name text={node.id} />
          </a>{' '}
          {node.hostname !== node.id && (
            <span class="place">
              <Name text={node.hostname} />
            </span>
          )}
        </h2>
        <p class="standing">
          <span class={`pill ${isOnline ? 'good' : 'bad'}`}>{isOnline ? '● online' : '▲ offline'}</span>
          <span class="dim">
            heard <Ago at={node.last_heartbeat} />
          </span>
        </p>
      </header>
      <dl class="facts">
        {fact('sessions', <a href={`${href('fleet')}?node=${part(node.id)}`}>{node.sessions.toLocaleString()}</a>)}
        {fact('version', <Visible text={node.version} />)}
        {fact('events', <Journal journal={journal} isOnline={isOnline} />)}
        {resources.memory_total > 0 && fact('memory', `${bytes(resources.memory_used)} of ${bytes(resources.memory_total)}`)}
        {resources.disk_total > 0 && fact('disk', `${bytes(resources.disk_free)} free of ${bytes(resources.disk_total)}`)}
        {resources.memory_total > 0 && fact('CPU', `${resources.cpu_percent.toFixed(0)} %`)}
      </dl>
      {isOff && (
        <p class="warning">
          Its clock is {span(Math.abs(node.clock_ahead_ms))} {node.clock_ahead_ms > 0 ? 'ahead of' : 'behind'} the supervisor's.
        </p>
      )}
      {journal.missing > 0 && <p class="warning">{journal.missing} events are missing and not explained: this is a fault of the supervisor. Run halctl doctor.</p>}
      {faults > 0 && <p class="warning">{faults === 1 ? 'One project or backend' : `${faults} projects or backends`} cannot be used: see below.</p>}
      <details open={isOpen}>
        <summary>Projects, backends, connection</summary>
        <Projects node={node} />
        <Backends node={node} />
        <dl class="facts">
          {fact('address', <Visible text={node.address || 'not known'} />)}
          {fact('connected', node.connected_at === NEVER ? 'never' : <At at={node.connected_at} />)}
          {node.came_in && fact('came in', `by ${{ key: 'its key', token: 'a token of its own', shared: 'the shared token' }[node.came_in.by] ?? node.came_in.by}, over ${node.came_in.over}`)}
          {fact('connections so far', String(node.epoch))}
          {resources.agent_rss > 0 && fact('hal-agent', bytes(resources.agent_rss))}
          {(resources.oom_kills ?? 0) > 0 && fact('ended for lack of memory', String(resources.oom_kills))}
          {fact('journal', <code><Visible text={journal.incarnation} /></code>)}
        </dl>
        <Ends node={node} />
      </details>
    </article>
  );
}

/** Where its events stand: what it has stored, and what of that is here. */
function Journal({ journal, isOnline }: { journal: NodeView['journal']; isOnline: boolean }): JSX.Element {
  const given = journal.given_up > 0 ? `; ${journal.given_up.toLocaleString()} given up` : '';
  const here = `${journal.acknowledged.toLocaleString()} of ${journal.held.toLocaleString()} acknowledged`;
  if (journal.lag > 0) {
    return (
      <span class="attention">
        {here}, {journal.lag.toLocaleString()} behind{given}
      </span>
    );
  }
  return (
    <>
      {here}
      {isOnline ? '' : ', as far as is known'}
      {given}
    </>
  );
}

function Projects({ node }: { node: NodeView }): JSX.Element {
  if (node.projects.length === 0) return <p class="dim">It has no project.</p>;
  return (
    <ul class="of-node" aria-label="Projects">
      {node.projects.slice(0, 100).map((project) => (
        <li key={project.name}>
          <b>
            <Name text={project.name} />
          </b>{' '}
          <code>
            <Visible text={project.directory} />
          </code>{' '}
          <span class="dim">
            <Visible text={project.backend} />
          </span>
          {project.error && (
            <p class="warning">
              <Visible text={project.error} />
            </p>
          )}
        </li>
      ))}
    </ul>
  );
}

function Backends({ node }: { node: NodeView }): JSX.Element | null {
  if (!node.backends?.length) return node.status === 'offline' ? <p class="dim">Which backends it has is known only while it is connected.</p> : null;
  return (
    <ul class="of-node" aria-label="Backends">
      {node.backends.map((backend) => (
        <li key={backend.kind}>
          <b>
            <Visible text={backend.kind} />
          </b>{' '}
          <Visible text={backend.version ?? ''} />{' '}
          {backend.tested && (
            <span class="dim">
              tested with <Visible text={backend.tested} />
            </span>
          )}
          {backend.fault && (
            <p class="warning">
              <Visible text={backend.fault} />
            </p>
          )}
          {(backend.unguarded?.length ?? 0) > 0 && (
            <p class="warning">
              It asks nobody for permission in: <Visible text={backend.unguarded?.join(', ') ?? ''} />
            </p>
          )}
        </li>
      ))}
    </ul>
  );
}

/** How a node ends: let in no more, or removed when it will not come back. */
function Ends({ node }: { node: NodeView }): JSX.Element {
  const acting = useAct();
  const isAway = connection.value.state !== 'live';
  if (!may(me.value?.role, 'admin')) return <p class="dim">Revoking or removing a node takes the role admin; yours is {me.value?.role}.</p>;
  const revoke = () =>
    void acting.act(`Revoke ${node.id}`, async () => {
      await post(`api/v1/nodes/${part(node.id)}/revoke`);
      return 'it is let in no more, by whatever key or token it has';
    });
  const gone = () =>
    void acting.act(`Remove ${node.id}`, async () => {
      await remove(`api/v1/nodes/${part(node.id)}`);
      return 'removed; its sessions have left the lists and stay readable';
    });
  return (
    <>
      <div class="buttons">
        <Sure word="Revoke" asks={`${node.id} is disconnected at once and let in no more. What runs there goes on without this supervisor. It may join again by another key.`} isAway={isAway} act={revoke} />
        {node.status === 'offline' && <Sure word="Remove" asks="For a node that will not come back: its sessions leave the lists and stay readable." isAway={isAway} act={gone} />}
      </div>
      <Outcome of={acting} />
    </>
  );
}

interface NewJoinToken {
  token: string;
  pin: string;
  is_encrypted: boolean;
  about: { expires_at: string };
}

/** The line by which a new machine joins. It is shown once, and kept nowhere. */
function Join(): JSX.Element {
  const [made, setMade] = useState<NewJoinToken | undefined>();
  const [isOnce, setOnce] = useState(true);
  const acting = useAct();
  const isAway = connection.value.state !== 'live';
  if (!may(me.value?.role, 'admin')) return <p class="dim">Adding a node takes the role admin; yours is {me.value?.role}.</p>;
  const make = () =>
    void acting.act('Join line', async () => {
      setMade(await post<NewJoinToken>('api/v1/join-tokens', { label: 'made on the dashboard', seconds: 3_600, is_once: isOnce }));
      return 'made';
    });
  const base = new URL('.', document.baseURI).href.replace(/\/$/, '');
  return (
    <section class="panel join">
      <h2>Add a node</h2>
      {made ? (
        <>
          <p>
            Run this on the new machine, as root, within {span(Date.parse(made.about.expires_at) - now.value)}
            {isOnce ? ', once' : ''}. <b>It is not shown again</b>; whoever has it can join.
          </p>
          <Line text={`hal-agent join ${base} --token ${made.token}${made.pin ? ` --pin ${made.pin}` : ''}`} />
          {!made.is_encrypted && <p class="warning">This supervisor speaks no TLS: the token goes there as it is.</p>}
          {['localhost', '127.0.0.1', '[::1]'].includes(location.hostname) && <p class="dim">From another machine, put this one's name in place of {location.hostname}.</p>}
          <button type="button" onClick={() => setMade(undefined)}>
            Done
          </button>
        </>
      ) : (
        <>
          <label class="choice">
            <input type="checkbox" checked={isOnce} onChange={(event) => setOnce(event.currentTarget.checked)} />
            <span>The first machine that joins ends it</span>
          </label>
          <button type="button" disabled={isAway} onClick={make}>
            Make the line by which a machine joins
          </button>
          {acting.state !== 'told' && <Outcome of={acting} />}
        </>
      )}
    </section>
  );
}
