// What is looked at after each step and in the end: everything that was ever held, what is in force, and the trail.

import { checkCredential } from '../../src/actions/check-credential.ts'
import { issueCredential } from '../../src/actions/issue-credential.ts'
import { openSession } from '../../src/actions/open-session.ts'
import { exportAudit } from '../../src/actions/read-audit.ts'
import { parseVerifierKey } from '../../src/core/checkpoint.ts'
import { exportLines, verifyExport } from '../../src/core/verify-export.ts'
import { as } from '../support/harness.ts'
import { unwrap } from '../support/store-on-disk.ts'
import { isWithin } from './authority-model.ts'
import { partOf } from './broker-words.ts'
import { caller, must, type World } from './world.ts'

const WATCHED = ['session', 'request', 'grant', 'credential', 'lock', 'widening', 'agent', 'revocation'] as const
/** States that nothing leaves. */
const LAST = new Set([
  'revoked',
  'approved',
  'denied',
  'withdrawn',
  'superseded',
  'lifted',
  'accepted',
  'void',
  'decommissioned',
  'complete',
])

/** Everything that was ever held, tried again; and what the broker has in force, within what the model has. */
export async function lookAtAll({ harness, model, counts, clock, ids, ...world }: World): Promise<void> {
  const now = clock.now()
  const { deps } = harness
  const { sessions, grants, credentials, rows, states } = world
  const { verify } = world.verifier
  for (const credential of credentials()) {
    if (credential.token === null) continue
    const checked = await checkCredential(deps, verify, credential.grant.tool, credential.token)
    if (!checked.ok) continue
    counts.alive++
    must(model.isCredentialAlive(credential, now), 'a dead credential is active', credential)
    must(checked.value.endsAt <= credential.endsAt, 'a credential lives longer', {
      credential,
      endsAt: checked.value.endsAt,
    })
  }
  for (const grant of grants()) {
    const own = sessions().filter(({ agent }) => agent === grant.agent)
    const tried = [own.findLast((session) => model.isSessionAlive(session, now)), own[0]]
    for (const session of new Set(tried)) {
      if (session === undefined || model.mayMint(session, grant, now)) continue
      const input = { grant: grant.id, scopes: null, details: null, via: 'exchange' } as const
      const minted = await issueCredential(deps, caller(session), input, 'req_probe')
      must(!minted.ok, 'a credential was minted that nothing justifies', { session, grant })
    }
  }
  for (const agent of model.ended) {
    const opened = await openSession(
      deps,
      { agent, key: 'one', jti: ids.next('jti'), expiresAt: now + 60_000 },
      'req_probe',
    )
    must(!opened.ok, `${agent} is decommissioned and opened a session`)
  }
  for (const { id, value } of await rows('slice')) {
    const part = value === null ? null : partOf(value)
    must(isWithin(part, model.parts.get(id) ?? null), `${id} is in force`, {
      broker: part,
      model: model.parts.get(id),
    })
  }
  for (const kind of WATCHED)
    for (const row of await rows(kind)) {
      const place = `${kind} ${row.id}`
      const was = states.get(place)
      must(was === undefined || was === row.state || !LAST.has(was), `${place} went from ${was} to ${row.state}`)
      must(was !== 'decommissioning' || row.state !== 'active', `${place} is active again`)
      states.set(place, row.state)
    }
}

/** The trail verifies, and holds every credential that was minted. */
export async function lookAtTrail({ harness, clock, credentials }: World): Promise<void> {
  clock.advance(Math.max(0, harness.deps.store.highestTime() - clock.now()) / 1000)
  let whole = ''
  for await (const lines of unwrap(await exportAudit(harness.deps, as.admin))) whole += lines
  const key = parseVerifierKey(harness.deps.signer.auditVerifierKey())
  if (!key.ok) throw new Error(key.error)
  const read = await verifyExport(exportLines([Buffer.from(whole)]), key.value)
  must(read.ok, 'the trail does not verify', read)
  for (const { id } of credentials())
    must(
      whole.includes(`"kind":"credential.issued"`) && whole.includes(`"credential":"${id}"`),
      `${id} is not on the trail`,
    )
}
