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
