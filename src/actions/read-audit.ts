// The trail, read: records that a caller may see, the signed head, proofs, and the whole log as an export (S7).
// Reading changes nothing, but an export leaves the house and says so on the trail first.

import { frontierOf, frontierRoot, type GetNode, inclusionProof } from '../core/merkle.ts'
import { type Problem, problem } from '../core/problem.ts'
import { personal, type RevealedRecord, reveal, rfc3339 } from '../core/record.ts'
import { err, ok, type Result } from '../core/result.ts'
import { checkpointLine, exportLine, partLine, provedLine } from '../core/verify-export.ts'
import { authorize } from './authorize.ts'
import { forbidden, type Listed, mayAtAll, readerOf, seesRows } from './list-rows.ts'
import type { Caller, Context, Deps, RecordFilter } from './ports.ts'
import { recordOf, transact } from './transact.ts'

const CHUNK = 500
const SCAN_MAX = 5_000

export type AuditEntry = RevealedRecord & { readonly index: number }

/** Records after `after`, oldest first; an owner sees those about agents and tools of theirs. */
export async function readAudit(
  deps: Pick<Deps, 'store' | 'clock'>,
  caller: Caller,
  input: { readonly filter: RecordFilter; readonly after: number | null; readonly limit: number },
): Promise<Result<Listed<AuditEntry>, Problem>> {
  if (!mayAtAll(caller, 'audit.read')) return err(forbidden(caller, 'audit.read'))
  const sees = seesRows(readerOf(deps), caller, 'audit.read')
  const rows: AuditEntry[] = []
  let from = input.after === null ? 0 : input.after + 1
  for (let looked = 0; looked < SCAN_MAX; looked += CHUNK) {
    const page = await deps.store.records(from, CHUNK, input.filter)
    for (const { index, bytes, opened } of page) {
      from = index + 1
      const record = reveal(bytes, opened)
      const { agent = null, tool = null } = record.subject
      if (!(await sees({ agent, tool }))) continue
      rows.push({ index, ...record })
      if (rows.length === input.limit) return ok({ rows, next: String(index) })
    }
    if (page.length < CHUNK) return ok({ rows, next: null })
  }
  return ok({ rows, next: String(from - 1) })
}

/** The head of the log as a C2SP signed note. */
export async function readCheckpoint(
  deps: Pick<Deps, 'store' | 'clock' | 'signer'>,
  caller: Caller,
): Promise<Result<string, Problem>> {
  const refused = await authorize(readerOf(deps), caller, 'audit.read')
  if (refused !== null) return err(refused)
  const { size, root } = await deps.store.tree()
  return ok(deps.signer.signCheckpoint(size, root, deps.clock.now()))
}

/** The public key that checkpoints are signed with, as text: whoever may read the trail may check it. */
export function readAuditKey(deps: Pick<Deps, 'signer'>, caller: Caller): Result<string, Problem> {
  return mayAtAll(caller, 'audit.read')
    ? ok(`${deps.signer.auditVerifierKey()}\n`)
    : err(forbidden(caller, 'audit.read'))
}

export type AuditProof = {
  readonly index: number
  readonly size: number
  readonly leaf: string
  readonly root: string
  readonly proof: readonly string[]
}

/** Inclusion of record `index` in the tree of `size` records (RFC 9162 section 2.1.3.1); hashes in base64. */
export async function proveRecord(
  deps: Pick<Deps, 'store' | 'clock'>,
  caller: Caller,
  { index, size: asked }: { readonly index: number; readonly size: number | null },
): Promise<Result<AuditProof, Problem>> {
  const refused = await authorize(readerOf(deps), caller, 'audit.read')
  if (refused !== null) return err(refused)
  const tree = await deps.store.tree()
  const size = asked ?? tree.size
  if (size > tree.size || index >= size)
    return err(
      problem('invalid_request', `The log has ${tree.size} records: index must be below size, and size at most that.`),
    )
  const base64 = (hash: Uint8Array) => Buffer.from(hash).toString('base64')
  const proof = await withNodes(deps, (node) => inclusionProof(node, index, size))
  const root = await withNodes(deps, (node) => frontierRoot(frontierOf(node, size)))
  return ok({
    index,
    size,
    leaf: base64(await deps.store.node(0, index)),
    root: base64(root),
    proof: proof.map(base64),
  })
}

type Nodes = Map<string, Uint8Array>

/** Runs `compute` twice: once to learn which nodes it asks for, once with them. `found` keeps them for the next one. */
async function withNodes<T>(
  deps: Pick<Deps, 'store'>,
  compute: (node: GetNode) => T,
  found: Nodes = new Map(),
): Promise<T> {
  const asked = new Map<string, { readonly level: number; readonly index: number }>()
  compute((level, index) => {
    asked.set(`${level}/${index}`, { level, index })
    return new Uint8Array(32)
  })
  for (const [key, { level, index }] of asked) if (!found.has(key)) found.set(key, await deps.store.node(level, index))
  return compute((level, index) => found.get(`${level}/${index}`))
}

/**
 * The log up to now, as lines with their newlines, the checkpoint of exactly that many records last; with a filter, what
 * it names, each record with its proof in that log.
 */
export async function exportAudit(
  deps: Deps,
  context: Context & { readonly caller: Caller },
  filter: RecordFilter = {},
): Promise<Result<AsyncGenerator<string>, Problem>> {
  const { size, root } = await deps.store.tree()
  const recorded = await transact(deps, 'normal', async (look) => {
    const refused = await authorize(look, context.caller, 'audit.export')
    if (refused !== null) return err(refused)
    const body = { from: 0, records: size, ...(isWhole(filter) ? {} : { filter: filterBody(filter) }) }
    return ok({ value: null, records: [recordOf(context, look.now, 'audit.exported', {}, body)] })
  })
  if (!recorded.ok) return recorded
  return ok(isWhole(filter) ? exportedLines(deps, size, root) : exportedPart(deps, { size, root }, filter))
}

const isWhole = (filter: RecordFilter): boolean => Object.keys(filter).length === 0

const filterBody = ({ owner, since, until, ...texts }: RecordFilter) => ({
  ...texts,
  ...(owner === undefined ? {} : { owner: personal(owner) }),
  ...(since === undefined ? {} : { since: rfc3339(since) }),
  ...(until === undefined ? {} : { until: rfc3339(until) }),
})

async function* exportedPart(
  deps: Deps,
  tree: { readonly size: number; readonly root: Uint8Array },
  filter: RecordFilter,
): AsyncGenerator<string> {
  yield `${partLine(tree)}\n`
  for (let from = 0; from < tree.size; ) {
    const page = await deps.store.records(from, CHUNK, filter)
    const nodes: Nodes = new Map()
    for (const { index, bytes, opened } of page) {
      if (index >= tree.size) break
      const proof = await withNodes(deps, (node) => inclusionProof(node, index, tree.size), nodes)
      yield `${provedLine(index, bytes, opened, proof)}\n`
    }
    const last = page.at(-1)
    if (last === undefined || page.length < CHUNK) break
    from = last.index + 1
  }
  yield `${checkpointLine(deps.signer.signCheckpoint(tree.size, tree.root, deps.clock.now()))}\n`
}

async function* exportedLines(deps: Deps, size: number, root: Uint8Array): AsyncGenerator<string> {
  for (let from = 0; from < size; ) {
    const page = await deps.store.records(from, Math.min(CHUNK, size - from))
    if (page.length === 0) throw new Error(`the log ends at ${from}, not at ${size}`)
    yield page.map(({ index, bytes, opened }) => `${exportLine(index, bytes, opened)}\n`).join('')
    from += page.length
  }
  yield `${checkpointLine(deps.signer.signCheckpoint(size, root, deps.clock.now()))}\n`
}
