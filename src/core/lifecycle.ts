// The lifecycles, as closed tables. Expiry and locks are overlays judged at use; no table knows them.

import type {
  AccountState,
  AgentState,
  CredentialState,
  GrantState,
  LockState,
  RequestState,
  RevisionState,
  RevocationState,
  SessionState,
  WideningState,
} from './model.ts'

type Table<S extends string> = { readonly [from in S]: readonly S[] }

const table = <S extends string>(transitions: Table<S>) => transitions

export const LIFECYCLES = {
  request: table<RequestState>({
    pending: ['approved', 'denied', 'withdrawn'],
    approved: [],
    denied: [],
    withdrawn: [],
  }),
  grant: table<GrantState>({ active: ['superseded', 'revoked'], superseded: [], revoked: [] }),
  session: table<SessionState>({ open: ['revoked'], revoked: [] }),
  credential: table<CredentialState>({ issued: ['revoked'], revoked: [] }),
  // `planned` is gone at once where the tool was surely never asked.
  account: table<AccountState>({
    planned: ['present', 'leaving', 'gone'],
    present: ['leaving'],
    leaving: ['gone'],
    gone: [],
  }),
  revocation: table<RevocationState>({ open: ['complete'], complete: [] }),
  agent: table<AgentState>({
    active: ['decommissioning'],
    decommissioning: ['decommissioned'],
    decommissioned: [],
  }),
  revision: table<RevisionState>({ proposed: ['in force', 'replaced'], 'in force': ['replaced'], replaced: [] }),
  widening: table<WideningState>({ waiting: ['accepted', 'declined', 'void'], accepted: [], declined: [], void: [] }),
  lock: table<LockState>({ standing: ['lifted'], lifted: [] }),
} as const

export type Machine = keyof typeof LIFECYCLES
export type StateOf<M extends Machine> = keyof (typeof LIFECYCLES)[M] & string

/**
 * The row in its next state.
 * @throws when the table has no such transition: a caller that did not check is a defect, not a refusal.
 */
export function move<M extends Machine, R extends { readonly state: StateOf<M> }>(
  machine: M,
  row: R,
  to: StateOf<M>,
): R & { readonly state: StateOf<M> } {
  if (!mayMove(machine, row.state, to)) throw new Error(`a ${machine} never goes from ${row.state} to ${to}`)
  return { ...row, state: to }
}

export function mayMove<M extends Machine>(machine: M, from: StateOf<M>, to: StateOf<M>): boolean {
  const next: Readonly<Record<string, readonly string[]>> = LIFECYCLES[machine]
  return next[from]?.includes(to) ?? false
}
