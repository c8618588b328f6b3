// The words of the API that the page uses: see src/protocol of the supervisor.

export type Role = 'agent' | 'metrics' | 'viewer' | 'approver' | 'operator' | 'admin';

export interface WhoAmI {
  name: string;
  role: Role;
  credential: string;
  credential_id: string;
  from: string;
  expires_at: string;
}

export interface TokenView {
  id: string;
  actor: string;
  role: Role;
  kind: string;
  state: 'active' | 'expired' | 'revoked';
  label: string;
  created_by: string;
  created_at: string;
  expires_at: string;
  used_at: string;
  used_from: string;
  revoked_by: string;
}

export type ApprovalState = 'waiting' | 'answered' | 'reached' | 'settled' | 'undelivered' | 'lapsed';

export type Stage = 'asked' | 'seen' | 'snoozed' | 'answered' | 'reached' | 'undelivered' | 'moved_on';

export interface ReceiptLine {
  stage: Stage;
  at: string;
  by?: string;
  over?: string;
  note?: string;
}

export interface Given {
  reply: 'once' | 'always' | 'reject' | 'answers';
  message?: string;
  answers?: string[][];
  by: string;
  over: string;
  at: string;
}

export interface Question {
  question: string;
  options: { label: string; description: string }[];
}

export interface Approval {
  id: string;
  kind: 'permission' | 'question';
  state: ApprovalState;
  session_id: string;
  node_id: string;
  project: string;
  directory: string;
  about: string;
  what: string;
  asked_at: string;
  deadline?: string;
  snoozed_until?: string;
  answer?: Given;
  receipt: ReceiptLine[];
  reasoning?: string;
  questions?: Question[];
  /** The event that asked is not stored any more: what is shown may be the beginning only. */
  is_partial?: boolean;
}

export interface Halt {
  /** Empty: everything. */
  project: string;
  by: string;
  at: string;
}

export interface Chrome {
  needs_you: number;
  sessions: Record<string, number>;
  nodes_online: number;
  nodes: number;
  alerts: number;
  halts: Halt[];
  trouble?: string;
}

export interface RunningTurn {
  session_id: string;
  title: string;
  project: string;
  since: string;
  stopping?: { since: string; gave_up: boolean; why: string };
}

export interface NodeTurns {
  node_id: string;
  online: boolean;
  projects: string[];
  turns: Record<string, number>;
  running: RunningTurn[];
}

export type Status = 'running' | 'idle' | 'waiting' | 'retrying' | 'error' | 'unreachable' | 'ended';

/** The states in the order in which lists show them. */
export const STATES: Status[] = ['waiting', 'running', 'retrying', 'idle', 'error', 'unreachable', 'ended'];

export interface SessionRow {
  id: string;
  title: string;
  project: string;
  node_id: string;
  status: Status;
  last_known?: Status;
  since: string;
  why?: string;
  asks: number;
  cost_micros: number | null;
  context?: Context;
  todo?: [number, number];
  backend: string;
  parent_id?: string;
  paused?: boolean;
  labels?: string[];
}

export interface Context {
  used: number;
  limit?: number;
}

export interface SessionView extends Omit<SessionRow, 'todo' | 'why' | 'asks' | 'paused' | 'labels'> {
  own_cost_micros: number | null;
  unreported_calls?: number;
  unpriced_tokens?: number;
  cost_before_micros?: number;
  tokens: number;
  token_kinds: { input: number; output: number; reasoning: number; cache_read: number; cache_write: number };
  started_at: string;
  active_at: string;
  directory: string;
  model?: { provider: string; id: string };
  compactions: number;
  retry?: { attempt: number; message: string; next: string };
  error?: string;
  todo?: { content: string; status: string }[];
  events: number;
  marks?: { paused?: { by: string; at: string }; labels?: string[] };
}

export interface OpenCommand {
  command_id: string;
  verb: string;
  state: string;
  actor: string;
  created_at: string;
}

export interface NodeView {
  id: string;
  hostname: string;
  status: 'online' | 'offline';
  last_heartbeat: string;
  connected_at: string;
  version: string;
  address: string;
  epoch: number;
  projects: { name: string; directory: string; backend: string; error?: string }[];
  backends?: { kind: string; version?: string; tested?: string; fault?: string; projects?: string[]; unguarded?: string[]; unasked?: string[] }[];
  came_in?: { by: string; over: string; proves: boolean };
  resources: { cpu_percent: number; memory_used: number; memory_total: number; disk_free: number; disk_total: number; agent_rss: number; oom_kills?: number };
  clock_ahead_ms: number;
  journal: { incarnation: string; held: number; acknowledged: number; lag: number; given_up: number; missing: number };
  sessions: number;
}

export type Severity = 'low' | 'medium' | 'high' | 'critical';

export interface Alert {
  id: number;
  name: string;
  about: string;
  severity: Severity;
  status: 'firing' | 'acknowledged' | 'resolved';
  text: string;
  lasting: boolean;
  count: number;
  started_at: string;
  changed_at: string;
  acknowledged_by: string;
}

export interface AlertView extends Alert {
  told?: { channel: string; at: string; step?: number; why?: string }[];
  next?: { step: number; at: string; channels: string[] };
}

export interface Silence {
  id: string;
  matches: string;
  reason: string;
  by: string;
  created_at: string;
  until: string;
}

export interface Amount {
  cost_usd: number | null;
  cost_micros: number | null;
  estimated_usd: number;
  api_equivalent_usd: number;
  tokens: number;
  unpriced_tokens: number;
  unreported_calls: number;
}

export interface CostPart extends Amount {
  provider?: string;
  model?: string;
  project?: string;
  session_id?: string;
  node_id?: string;
}

export interface Forecast {
  expected_usd: number;
  low_usd: number;
  high_usd: number;
}

export interface CostReport {
  from: string;
  to: string;
  session_count: number;
  total: Amount;
  by_provider: CostPart[];
  by_model: CostPart[];
  by_project: CostPart[];
  by_session: CostPart[];
  by_node: CostPart[];
  days: ({ date: string } & Amount)[];
  before: { from: string; to: string; change_usd: number; change_percent?: number | null } & Amount;
  end_of_day?: Forecast | null;
  end_of_month?: Forecast | null;
  freshness: { source: string; state: string; as_of: string; note?: string }[];
}

export interface BudgetView {
  name: string;
  scope: string;
  session_id: string;
  period: string;
  current: string;
  resets_at: string;
  at_limit: string;
  limit_micros: number;
  raised_micros: number;
  spent_micros: number;
  outstanding_micros: number;
  free_micros: number;
  is_config: boolean;
}

export interface Exposure {
  most_micros: number | null;
  outstanding_micros: number;
  unlimited_sessions: number;
}

export interface AuditRecord {
  seq: number;
  id: string;
  at: string;
  actor: string;
  kind: string;
  through: string;
  from: string;
  action: string;
  target: string;
  args: unknown;
  result: string;
  error?: string;
}

export interface FleetHead {
  query: string;
  from: number;
  counts: Partial<Record<Status, number>>;
  order: string[];
}

export interface FleetNames {
  projects: string[];
  nodes: string[];
}

/** What an unknown time is written as. */
export const NEVER = '0001-01-01T00:00:00Z';

const ROLES: Role[] = ['agent', 'metrics', 'viewer', 'approver', 'operator', 'admin'];

/** True when whoever has this role may do what takes the other one. */
export function may(role: Role | undefined, least: Role): boolean {
  return role !== undefined && ROLES.indexOf(role) >= ROLES.indexOf(least);
}

/** True while an answer is still wanted. */
export function wantsAnswer(approval: Approval): boolean {
  return approval.state === 'waiting' || approval.state === 'undelivered';
}
