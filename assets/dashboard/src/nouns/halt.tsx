// Halt: what it stops, before; which nodes have really stopped, after; and its release, which is another decision.
import { useEffect, useState } from 'preact/hooks';
import type { JSX } from 'preact';
import { NoAnswer, post, sentence } from '../api/call';
import { follow } from '../live/socket';
import { chrome, connection, haveTurns, me, turns } from '../live/store';
import { Terminal, quoted } from '../parts/copy';
import { cry } from '../parts/say';
import { Name, Visible } from '../parts/text';
import { Ago, At } from '../parts/time';
import { href } from '../route';
import { may, type Halt, type NodeTurns, type RunningTurn } from '../words';

/** The longest that the supervisor itself waits for turns to stop, and a little. */
const LONGEST = 130;

interface Asked {
  what: string;
  state: 'sending' | 'told' | 'refused' | 'unknown';
  said: string;
}

export function HaltScreen(): JSX.Element {
  const [project, setProject] = useState('');
  const [asked, setAsked] = useState<Asked | undefined>();
  useEffect(() => {
    follow(['halt']);
    return () => follow([]);
  }, []);
  const halts = chrome.value?.halts ?? [];
  const nodes = [...turns.value.values()].sort((one, other) => one.node_id.localeCompare(other.node_id));
  const projects = [...new Set(nodes.flatMap((node) => node.projects))].sort();
  const isHalted = halts.some((halt) => halt.project === '' || halt.project === project);
  const ask = async (what: string, body: object) => {
    setAsked({ what, state: 'sending', said: '' });
    try {
      const command = await post<{ state: string; output?: string; error?: string }>('api/v1/commands', body, crypto.randomUUID?.() ?? String(Math.random()));
      setAsked({ what, state: 'told', said: command.error ?? command.output ?? command.state });
    } catch (error) {
      setAsked({ what, state: error instanceof NoAnswer ? 'unknown' : 'refused', said: sentence(error) });
    }
  };
  const halt = () => {
    cry(project ? `Halting project ${project}` : 'Halting everything');
    const scope = project ? { project } : {};
    void ask(project ? `Halt of project ${project}` : 'Halt of everything', { type: 'halt_work', ...scope, timeout: LONGEST });
  };
  const release = (one: Halt) =>
    void ask(one.project ? `Release of project ${one.project}` : 'Release of everything', {
      type: 'halt_work',
      ...(one.project ? { project: one.project } : {}),
      args: { release: true },
      timeout: 30,
    });
  return (
    <>
      <h1 tabIndex={-1}>Halt</h1>
      {halts.map((one) => (
        <Halted key={one.project} halt={one} release={() => release(one)} />
      ))}
      {asked && <Outcome asked={asked} />}
      <section class="panel">
        <h2>{isHalted ? 'What still runs' : 'What it would stop'}</h2>
        <Scope projects={projects} project={project} set={setProject} />
        {!haveTurns.value ? <p class="dim">Asking the supervisor …</p> : <Nodes nodes={nodes} project={project} isHalted={isHalted} />}
        {!isHalted && me.value && may(me.value.role, 'approver') && <Confirm project={project} halt={halt} isSending={asked?.state === 'sending'} />}
        {me.value && !may(me.value.role, 'approver') && <p class="dim">Halting takes the role approver; yours is {me.value.role}.</p>}
      </section>
      <Terminal
        lines={[
          project ? `halctl sessions halt --project ${quoted(project)}` : 'halctl sessions halt --all',
          project ? `halctl sessions halt --project ${quoted(project)} --release` : 'halctl sessions halt --all --release',
        ]}
      />
    </>
  );
}

function Outcome({ asked }: { asked: Asked }): JSX.Element {
  const words = {
    sending: 'sent; the supervisor looks until all of it has stopped …',
    told: asked.said,
    refused: asked.said,
    unknown: 'no answer: whether it arrived is shown here as soon as the supervisor answers again',
  }[asked.state];
  return (
    <p class={`sent ${asked.state}`} role="status">
      {asked.state === 'sending' && <span class="spinner" aria-hidden="true" />} <b>{asked.what}:</b> <Visible text={words} />
    </p>
  );
}

function Scope({ projects, project, set }: { projects: string[]; project: string; set: (project: string) => void }): JSX.Element {
  return (
    <label class="scope">
      Which work
      <select value={project} onChange={(event) => set(event.currentTarget.value)}>
        <option value="">everything, on all nodes</option>
        {projects.map((name) => (
          <option key={name} value={name}>
            project {name}
          </option>
        ))}
      </select>
    </label>
  );
}

const count = (node: NodeTurns, project: string) =>
  Object.entries(node.turns).reduce((sum, [name, turns]) => (project === '' || name === project ? sum + turns : sum), 0);

function Nodes({ nodes, project, isHalted }: { nodes: NodeTurns[]; project: string; isHalted: boolean }): JSX.Element {
  const concerned = nodes.filter((node) => project === '' || node.projects.includes(project) || count(node, project) > 0);
  const all = concerned.reduce((sum, node) => sum + count(node, project), 0);
  const away = concerned.filter((node) => !node.online).length;
  return (
    <>
      <p class="sum">
        <b>{all === 1 ? 'One turn runs' : `${all} turns run`}</b> on {concerned.length === 1 ? 'one node' : `${concerned.length} nodes`}
        {away > 0 && <>; of {away === 1 ? 'one that is' : `${away} that are`} not connected nobody knows</>}.
      </p>
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <th scope="col">Node</th>
              <th scope="col">{isHalted ? 'Has it stopped?' : 'Turns'}</th>
            </tr>
          </thead>
          <tbody>
            {concerned.map((node) => (
              <tr key={node.node_id}>
                <th scope="row">
                  <Name text={node.node_id} />
                </th>
                <td>
                  <NodeState node={node} project={project} isHalted={isHalted} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </>
  );
}

function NodeState({ node, project, isHalted }: { node: NodeTurns; project: string; isHalted: boolean }): JSX.Element {
  const running = node.running.filter((turn) => project === '' || turn.project === project);
  const more = count(node, project) - running.length;
  const nothing = isHalted ? <span class="pill good">stopped: nothing runs</span> : <span class="dim">nothing runs</span>;
  return (
    <>
      {!node.online && <span class="pill bad">not connected{isHalted ? ': it stops when it comes back' : ''}</span>}
      {node.online && running.length === 0 && more <= 0 && nothing}
      {running.length > 0 && (
        <ul class="turns">
          {running.map((turn) => (
            <Turn key={turn.session_id} turn={turn} isOnline={node.online} />
          ))}
        </ul>
      )}
      {more > 0 && <span class="dim">and {more} more</span>}
    </>
  );
}

function Turn({ turn, isOnline }: { turn: RunningTurn; isOnline: boolean }): JSX.Element {
  return (
    <li>
      <a href={href('sessions', turn.session_id)}>
        <Name text={turn.title || turn.session_id} />
      </a>{' '}
      <span class="dim">
        <Name text={turn.project} />, {isOnline ? 'runs since' : 'last known to run since'} <At at={turn.since} />
      </span>
      {turn.stopping && (
        <span class={turn.stopping.gave_up ? 'pill bad' : 'pill busy'}>
          {turn.stopping.gave_up ? 'did not stop' : 'is told to stop'}, <Ago at={turn.stopping.since} />
        </span>
      )}
      {turn.stopping?.why && (
        <p class="dim">
          <Visible text={turn.stopping.why} />
        </p>
      )}
    </li>
  );
}

/** Nobody halts by a slip: a word where there is a keyboard, a way to slide where there is a thumb. */
function Confirm({ project, halt, isSending }: { project: string; halt: () => void; isSending: boolean }): JSX.Element {
  const [word, setWord] = useState('');
  const [way, setWay] = useState(0);
  const isAway = connection.value.state !== 'live';
  const isThumb = window.matchMedia('(pointer: coarse)').matches;
  const isMeant = isThumb ? way >= 100 : word.trim().toLowerCase() === 'halt';
  const go = (event: Event) => {
    event.preventDefault();
    if (!isMeant || isAway || isSending) return;
    setWord('');
    setWay(0);
    halt();
  };
  return (
    <form class="confirm" onSubmit={go}>
      <p>
        Turns are interrupted, and killed where they go on; no new one begins until an administrator releases it. Nothing is lost: sessions can be prompted again.
      </p>
      {isThumb ? (
        <label class="slide">
          Slide to the end to halt
          <input type="range" min="0" max="100" step="5" value={way} onInput={(event) => setWay(event.currentTarget.valueAsNumber)} />
        </label>
      ) : (
        <label>
          Type <b>halt</b>
          <input type="text" name="word" autocomplete="off" autocapitalize="off" spellcheck={false} value={word} onInput={(event) => setWord(event.currentTarget.value)} />
        </label>
      )}
      <button type="submit" class="danger" disabled={!isMeant || isAway || isSending} title={isAway ? 'not connected: nothing is sent later by itself' : ''}>
        {project ? `Halt project ${project}` : 'Halt everything'}
      </button>
      {isAway && <p class="dim">Not connected: nothing is sent later by itself.</p>}
    </form>
  );
}

function Halted({ halt, release }: { halt: Halt; release: () => void }): JSX.Element {
  const [isAsking, setAsking] = useState(false);
  const what = halt.project ? `Project ${halt.project}` : 'Everything';
  return (
    <section class="panel halted">
      <p>
        <b>
          <Visible text={what} /> is halted
        </b>{' '}
        by <Name text={halt.by} />, <Ago at={halt.at} />.
      </p>
      {may(me.value?.role, 'admin') ? (
        isAsking ? (
          <div class="form">
            <p>Work goes on: queued prompts are sent, and new sessions may begin.</p>
            <button
              type="button"
              class="primary"
              onClick={() => {
                setAsking(false);
                release();
              }}
            >
              Release {halt.project ? `project ${halt.project}` : 'everything'}
            </button>
            <button type="button" onClick={() => setAsking(false)}>
              Cancel
            </button>
          </div>
        ) : (
          <button type="button" data-act="release" onClick={() => setAsking(true)}>
            Release…
          </button>
        )
      ) : (
        <p class="dim">An administrator releases it.</p>
      )}
    </section>
  );
}
