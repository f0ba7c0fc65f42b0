// Who may do what (S7), as one closed table: deny by default. It says what a role may do at all; whether a widening is
// theirs to accept (S2), or a thing is locked, is judged on top of it and never instead.

/** What a caller is to the thing: an owner is an owner of the agent, of the tool, both or neither. */
export const MATRIX_ROWS = [
  'agent',
  'agent-owner',
  'tool-owner',
  'admin',
  'operator',
  'auditor',
  'publisher',
  'verifier',
] as const
export type MatrixRow = (typeof MATRIX_ROWS)[number]

/** `own`: the agent itself, an owner of that very agent or tool, a verifier of that very tool. Absent is `no`. */
export type Cell = 'no' | 'own' | 'any'

type Cells = Partial<Record<MatrixRow, Exclude<Cell, 'no'>>>

const admins = { admin: 'any', operator: 'any' } as const
const readers = { ...admins, auditor: 'any' } as const
const owners = { 'agent-owner': 'own', 'tool-owner': 'own' } as const
const verifiers = { verifier: 'own' } as const

const CELLS = {
  'request.make': { agent: 'own' },
  'request.see': { agent: 'own', ...owners, ...readers },
  'request.approve': { 'agent-owner': 'own' },
  'request.deny': owners,
  'request.withdraw': { agent: 'own' },
  'session.see': { agent: 'own', 'agent-owner': 'own', ...readers },
  'session.revoke': { agent: 'own', 'agent-owner': 'own', ...admins },
  'grant.see': { agent: 'own', ...owners, ...readers },
  'grant.revoke': { ...owners, ...admins },
  'grant.release': { agent: 'own' },
  'credential.see': { agent: 'own', ...owners, ...readers },
  'credential.issue': { agent: 'own' },
  'credential.revoke': { agent: 'own', ...owners, ...admins },
  'agent.see': { agent: 'own', ...owners, ...readers },
  'agent.decommission': { 'agent-owner': 'own', ...admins },
  'tool.see': { 'tool-owner': 'own', ...readers },
  'tool.reconcile': { 'tool-owner': 'own', ...admins },
  'tool.pin': { 'tool-owner': 'own', ...admins },
  'tool.drill': { 'tool-owner': 'own', ...admins },
  'lock.set': { ...owners, ...admins },
  'lock.lift': admins,
  'lock.lift_own': { ...owners, ...admins },
  'lock.see': { ...owners, ...readers },
  'revision.propose': { publisher: 'any' },
  'revision.see': { ...owners, ...readers, publisher: 'any' },
  'widening.accept': owners,
  'widening.decline': owners,
  /** What waits for an admin: tools are the installation's own connections (S1). */
  'widening.accept_tool': admins,
  'widening.decline_tool': admins,
  'receipt.see': { agent: 'own', ...owners, ...readers },
  'audit.read': { ...owners, ...readers },
  'audit.export': readers,
  'status.read': readers,
  'metrics.read': readers,
  'can.ask': { agent: 'own', ...owners, ...readers },
  'bearer.make': { operator: 'any' },
  'bearer.list': { operator: 'any' },
  'bearer.revoke': { operator: 'any' },
  'token.inspect': readers,
  'key.list': readers,
  'key.rotate': admins,
  'clock.reset': { operator: 'any' },
  introspect: verifiers,
  forward_auth: verifiers,
  feed: verifiers,
  lease: verifiers,
} as const satisfies Record<string, Cells>

/** Everything that anyone can ask the broker to do. */
export type Act = keyof typeof CELLS
export const ACTS = Object.keys(CELLS) as readonly Act[]

export const cellOf = (row: MatrixRow, act: Act): Cell => (CELLS[act] as Cells)[row] ?? 'no'

/** Who calls, as far as the matrix cares. */
export type MatrixCaller =
  | { readonly role: 'agent'; readonly agent: string }
  | { readonly role: 'owner'; readonly email: string }
  | { readonly role: 'verifier'; readonly tool: string }
  | { readonly role: 'admin' | 'operator' | 'auditor' | 'publisher' }

/** What the act is done to; `owner` is who set a lock. */
export type MatrixObject = { readonly agent?: string; readonly tool?: string; readonly owner?: string }

/** E-mails of the owners in force of the object's agent and tool, teams resolved. */
export type OwnersInForce = { readonly agentOwners: readonly string[]; readonly toolOwners: readonly string[] }

/** May this caller do this to that? An owner who owns neither the agent nor the tool may not. */
export function may(caller: MatrixCaller, act: Act, object: MatrixObject, inForce: OwnersInForce): boolean {
  switch (caller.role) {
    case 'agent':
      return allows(cellOf('agent', act), object.agent === caller.agent)
    case 'verifier':
      return allows(cellOf('verifier', act), object.tool === caller.tool)
    case 'owner': {
      if (act === 'lock.lift_own' && object.owner !== caller.email) return false
      const ofAgent = object.agent !== undefined && inForce.agentOwners.includes(caller.email)
      const ofTool = object.tool !== undefined && inForce.toolOwners.includes(caller.email)
      return (ofAgent && cellOf('agent-owner', act) !== 'no') || (ofTool && cellOf('tool-owner', act) !== 'no')
    }
    default:
      return allows(cellOf(caller.role, act), false)
  }
}

const allows = (cell: Cell, own: boolean) => cell === 'any' || (cell === 'own' && own)
