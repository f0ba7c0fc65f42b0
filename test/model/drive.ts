// Takes each step in the broker (its actions over a real store) and in the reference model. What the broker says yes to, the
// model must justify; a no is always allowed. After each step everything that was ever held is tried again.

import { applyManifests } from '../../src/actions/apply-manifests.ts'
import { createTokenVerifier, type VerifyToken } from '../../src/actions/authenticate-session.ts'
import { checkCredential } from '../../src/actions/check-credential.ts'
import { decommissionAgent } from '../../src/actions/decommission-agent.ts'
import { issueCredential } from '../../src/actions/issue-credential.ts'
import { liftLock, setLock } from '../../src/actions/lock.ts'
import { openSession } from '../../src/actions/open-session.ts'
import type { Context, Deps } from '../../src/actions/ports.ts'
import { exportAudit } from '../../src/actions/read-audit.ts'
import { reconcileTargets } from '../../src/actions/reconcile-targets.ts'
import { releaseGrant, withdrawRequest } from '../../src/actions/release-access.ts'
import { requestAccess } from '../../src/actions/request-access.ts'
import { revoke } from '../../src/actions/revoke.ts'
import { approveRequest, denyRequest } from '../../src/actions/settle-request.ts'
import { settleRevision } from '../../src/actions/settle-revision.ts'
import { parseVerifierKey } from '../../src/core/checkpoint.ts'
import type { Manifest } from '../../src/core/manifest.ts'
import type { AccessRequest, Kind, Rows, Widening } from '../../src/core/model.ts'
import { exportLines, verifyExport } from '../../src/core/verify-export.ts'
import { as, createHarness, type Harness } from '../support/harness.ts'
import { setOf } from '../support/manifest-set.ts'
import { unwrap } from '../support/store-on-disk.ts'
import { documentId, isWithin, ownersOf, POINTS } from './authority-model.ts'
import { detailsOf, heldAs, heldGrant, partOf, queuesOf } from './broker-words.ts'
import { Died, dying } from './dying-store.ts'
import { type HeldGrant, type HeldSession, ReferenceModel } from './reference-model.ts'
import { firstDocuments, PEOPLE, PRELUDE, type Step, setFrom, WHOEVER_GAINED, WHOEVER_MAY, widened } from './steps.ts'

/** The broker did what the model does not justify. */
class Unjustified extends Error {
  override name = 'Unjustified'
}
const must: (holds: boolean, what: string, shown?: unknown) => asserts holds = (holds, what, shown) => {
  if (!holds) throw new Unjustified(shown === undefined ? what : `${what}: ${JSON.stringify(shown)}`)
}

const contextOf = (who: string): Context => (who === 'admin' ? as.admin : as.owner(who))
const nth = <T>(items: readonly T[], n: number): T | undefined => items[n % Math.max(1, items.length)]

export type Counts = Record<
  'steps' | 'done' | 'grants' | 'credentials' | 'accepted' | 'taken' | 'crashes' | 'alive',
  number
>

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

type Doing = {
  readonly run: (deps: Deps) => Promise<{ readonly ok: boolean }>
  readonly done: (now: number) => Promise<void> | void
}

export async function drive(steps: readonly Step[], counts: Counts): Promise<void> {
  const harness = await createHarness()
  try {
    const documents = new Map(firstDocuments().map((document) => [documentId(document), document]))
    await harness.start(setFrom(documents))
    const driver = createDriver(harness, documents, counts)
    for (const step of [...PRELUDE, ...steps]) await driver.take(step)
    await driver.finish()
  } finally {
    await harness.close()
  }
}

function createDriver(harness: Harness, first: Map<string, Manifest>, counts: Counts) {
  const model = new ReferenceModel(setFrom(first))
  const { clock, ids } = harness.disk
  let documents = first
  const history: Manifest[] = [...first.values()]
  const requests = new Map<string, AccessRequest>()
  const states = new Map<string, string>()
  let verify: VerifyToken = createTokenVerifier(harness.deps)
  const caller = (session: HeldSession) => ({ role: 'agent', agent: session.agent, session: session.id }) as const
  const [sessions, grants] = [() => [...model.sessions.values()], () => [...model.grants.values()]]
  const pending = () => {
    const waiting = [...requests.values()].filter(({ id }) => states.get(`request ${id}`) === 'pending')
    return waiting.length > 0 ? waiting : [...requests.values()]
  }
  const credentials = () => [...model.credentials.values()]

  const rows = async <K extends Kind>(kind: K): Promise<readonly Rows[K][]> =>
    (await harness.deps.store.list({ kind, limit: 500 })).rows
  const fresh = async <K extends 'session' | 'request' | 'grant' | 'credential' | 'lock'>(
    kind: K,
    known: ReadonlyMap<string, unknown>,
  ) => (await rows(kind)).filter(({ id }) => !known.has(id))

  /** Somebody who may, by the model; an admin where nobody is found. */
  function whoeverMay(step: Step): string {
    if (!('who' in step)) return ''
    if (step.who === WHOEVER_GAINED) return model.gained() ?? PEOPLE[3]
    if (step.who !== WHOEVER_MAY) return step.who
    const owner = (agent: string | undefined) => ownersOf(model.parts, `agent/${agent}`)[0] ?? 'admin'
    if (step.do === 'settle') {
      const slice = waitingSlice(step)
      const waits = slice === undefined ? [...model.waiting.values()] : [model.waiting.get(slice)]
      const need = waits.flatMap((one) => one?.needs ?? []).find(({ givenBy }) => givenBy === null)
      return need === undefined || need.eligible === 'admin' ? 'admin' : (need.eligible[0] ?? 'admin')
    }
    if (step.do === 'approve' || step.do === 'deny') return owner(nth(pending(), step.request)?.agent)
    return 'admin'
  }

  /** What one settles alone; undefined is all that they may of the revision. */
  function waitingSlice({ one }: Extract<Step, { do: 'settle' }>): string | undefined {
    const open = [...model.waiting].flatMap(([id, { declined }]) => (declined ? [] : [id]))
    if (one === null) return undefined
    return one === 'people' ? open.find((id) => !id.startsWith('access/')) : nth(open, one)
  }

  async function take(step: Step): Promise<void> {
    counts.steps++
    const doing = await doingOf('who' in step ? { ...step, who: whoeverMay(step) } : step)
    if (doing !== null) {
      const now = clock.now()
      const { deps, fate } = dying(harness.deps, step.crash ?? null)
      const done = await doing.run(deps).then(
        ({ ok }) => ok,
        (thrown) => {
          if (!(thrown instanceof Died)) throw thrown
          return fate.committed > 0
        },
      )
      if (fate.died) {
        counts.crashes++
        await reopen()
      }
      if (done) {
        counts.done++
        await doing.done(now)
      }
    }
    await verifyAll()
  }

  async function reopen(): Promise<void> {
    verify = createTokenVerifier(await harness.reopen())
  }

  async function doingOf(step: Step): Promise<Doing | null> {
    switch (step.do) {
      case 'clock':
        clock.advance(step.seconds)
        return null
      case 'reopen':
        await reopen()
        return null
      case 'reconcile':
        await reconcileTargets(harness.deps, new Set())
        return null
      case 'edit': {
        const was = documents.get(documentId(step.document))
        return applying(
          new Map(documents).set(
            documentId(step.document),
            was === undefined ? step.document : someFields(was, step.document, step.fields),
          ),
        )
      }
      case 'widen': {
        const was = nth([...documents.values()], step.pick)
        if (was === undefined) return null
        return applying(new Map(documents).set(documentId(was), widened(was, step.person, step.entry)))
      }
      case 'remove': {
        const next = new Map(documents)
        next.delete(nth([...documents.keys()], step.pick) ?? '')
        return applying(next)
      }
      case 'restore': {
        const back = nth(history.toReversed(), step.pick)
        return back === undefined ? null : applying(new Map(documents).set(documentId(back), back))
      }
      case 'settle':
        return settling(step)
      case 'open':
        return {
          run: (deps) =>
            openSession(
              deps,
              { agent: step.agent, key: step.key, jti: ids.next('jti'), expiresAt: clock.now() + 60_000 },
              'req_session',
            ),
          async done(now) {
            for (const { id, agent, key, expiresAt } of await fresh('session', model.sessions)) {
              const session = { id, agent, key, expiresAt, dead: false }
              must(model.isSessionAlive(session, now), `${agent} may open no session with ${key}`)
              model.sessions.set(id, session)
            }
          },
        }
      case 'ask':
      case 'ask anything':
        return asking(step)
      case 'approve':
        return approving(step)
      case 'deny':
      case 'withdraw': {
        const request = nth(pending(), step.request)
        if (request === undefined) return null
        const session = model.sessions.get(request.session)!
        return {
          run: (deps) =>
            step.do === 'deny'
              ? denyRequest(deps, contextOf(step.who), { request: request.id, reason: null })
              : withdrawRequest(deps, caller(session), request.id, 'req_withdraw'),
          done(now) {
            const { agent, tool } = request
            const isTheirs = step.who !== 'admin' && model.owns(step.who, { agent, tool }, now)
            must(step.do === 'withdraw' || isTheirs, `${step.who} may not deny for ${agent}`)
          },
        }
      }
      case 'mint':
        return minting(step)
      case 'release': {
        const grant = nth(grants(), step.grant)
        if (grant === undefined) return null
        const session = model.sessions.get(grant.session)!
        return {
          run: (deps) => releaseGrant(deps, caller(session), grant.id, 'req_release'),
          done: () => model.endGrants((one) => one === grant),
        }
      }
      case 'lock':
        return locking(step)
      case 'lift': {
        const lock = nth([...model.locks.values()], step.lock)
        if (lock === undefined) return null
        return {
          run: (deps) => liftLock(deps, contextOf(step.who), { lock: lock.id, reason: null }),
          done(now) {
            const own = lock.by === step.who && model.owns(step.who, ownedBy(lock.kind, lock.name), now)
            must(step.who === 'admin' || own, `${step.who} may not lift the lock of ${lock.by}`)
            lock.lifted = true
          },
        }
      }
      case 'revoke':
        return revoking(step)
      case 'decommission':
        return {
          run: (deps) => decommissionAgent(deps, contextOf(step.who), { agent: step.agent, reason: null }),
          done(now) {
            must(model.owns(step.who, { agent: step.agent }, now), `${step.who} may not decommission ${step.agent}`)
            counts.taken++
            model.end(step.agent)
          },
        }
    }
  }

  function applying(next: Map<string, Manifest>): Doing {
    const set = setOf(...next.values())
    return {
      run: (deps) => applyManifests(deps, as.watcher, { set, base: null }),
      done(now) {
        history.push(
          ...[...next].filter(([id, document]) => documents.get(id) !== document).map(([, document]) => document),
        )
        documents = next
        if (set.digest !== model.set.digest) model.edit(set, now)
      },
    }
  }

  async function settling(step: Extract<Step, { do: 'settle' }>): Promise<Doing | null> {
    const before = new Map((await rows('widening')).map((row) => [row.id, row]))
    const waiting = [...before.values()].filter(({ state }) => state === 'waiting')
    const slice = waitingSlice(step)
    const one = slice === undefined ? undefined : waiting.find((widening) => widening.slice === slice)
    const id = one?.id ?? waiting[0]?.revision
    if (id === undefined) return null
    const decision = step.yes ? 'accept' : 'decline'
    return {
      run: (deps) => settleRevision(deps, contextOf(step.who), { id, decision, reason: null }),
      async done(now) {
        const changed = (await rows('widening')).filter((row) => isTouched(row, before.get(row.id)))
        if (!step.yes) for (const { slice } of changed) model.decline(slice)
        const given = changed.filter(({ state }) => state !== 'void' && state !== 'declined')
        if (!step.yes || given.length === 0) return
        const wrong = model.accept(
          given.map(({ slice, state }) => ({ id: slice, accepted: state === 'accepted' })),
          step.who,
          now,
        )
        must(wrong === null, `${step.who} accepted ${given.map(({ slice }) => slice)}: ${wrong}`)
        counts.accepted += given.length
      },
    }
  }

  /** Something that the model has in force for this session's agent, or its place among all that there is. */
  function askable(session: HeldSession, pick: number) {
    const own = [...model.parts.values()].flatMap((part) =>
      part?.of === 'access' && part.agent === session.agent ? [part] : [],
    )
    const access = nth(own, pick)
    const point = access === undefined ? undefined : POINTS[nth(access.points, pick) ?? 0]
    return access === undefined || point === undefined
      ? null
      : { tool: access.tool, scopes: point.scopes, queues: point.queues }
  }

  function asking(step: Extract<Step, { do: 'ask' | 'ask anything' }>): Doing | null {
    const session =
      nth(
        sessions().filter(({ dead }) => !dead),
        step.session,
      ) ?? nth(sessions(), step.session)
    const wish = session === undefined ? null : step.do === 'ask' ? askable(session, step.point) : step
    if (session === undefined || wish === null) return null
    const { tool, scopes, queues } = wish
    const asked = { tool, scopes, details: detailsOf(queues), durationSeconds: step.seconds, reason: 'INC-1' }
    return {
      run: (deps) => requestAccess(deps, caller(session), asked, 'req_ask'),
      async done(now) {
        must(model.isSessionAlive(session, now), 'a dead session asked')
        must(model.isToolFine(session.agent, tool, now), `${tool} was asked for`)
        await adoptGrants(now, null)
        for (const row of await fresh('request', requests)) {
          const like = heldAs(row)
          must(model.covering({ ...like, level: 'owner' }).length > 0, 'a request beyond every entitlement waits', row)
          requests.set(row.id, row)
        }
      },
    }
  }

  function approving(step: Extract<Step, { do: 'approve' }>): Doing | null {
    const request = nth(pending(), step.request)
    if (request === undefined) return null
    const scopes = step.fewer ? request.scopes.slice(0, 1) : null
    return {
      run: (deps) =>
        approveRequest(deps, contextOf(step.who), {
          request: request.id,
          hash: null,
          scopes,
          durationSeconds: step.seconds,
        }),
      async done(now) {
        must(
          states.get(`request ${request.id}`) === 'pending' && now < request.expiresAt,
          'what does not wait was approved',
        )
        must(
          step.who !== 'admin' && model.owns(step.who, { agent: request.agent }, now),
          `${step.who} may not approve for ${request.agent}`,
        )
        must(!model.sessions.get(request.session)!.dead, 'a request of a revoked session was approved', request)
        await adoptGrants(now, { request, who: step.who })
      },
    }
  }

  async function adoptGrants(
    now: number,
    approval: { readonly request: AccessRequest; readonly who: string } | null,
  ): Promise<void> {
    for (const row of await fresh('grant', model.grants)) {
      counts.grants++
      const grant = heldGrant(row)
      must(grant.level === (approval === null ? 'none' : 'owner'), 'approved otherwise than it says', row)
      must(grant.approver === (approval?.who ?? null), 'approved by another', row)
      const { request } = approval ?? { request: null }
      if (request !== null) {
        const isSame =
          request.agent === row.agent &&
          request.tool === row.tool &&
          JSON.stringify(request.details) === JSON.stringify(row.details)
        must(isSame && row.scopes.every((scope) => request.scopes.includes(scope)), 'more was granted than asked', row)
        must(row.expiresAt <= now + request.durationSeconds * 1000, 'longer was granted than asked', row)
      }
      model.grants.set(row.id, grant)
      const longest = Math.max(0, ...model.covering(grant).map(({ grantFor }) => grantFor))
      must(row.expiresAt <= now + longest * 1000, 'a grant beyond every entitlement', row)
      must(model.isToolFine(grant.agent, grant.tool, now), 'a grant that may not be', row)
    }
  }

  function minting(step: Extract<Step, { do: 'mint' }>): Doing | null {
    const grant =
      nth(
        grants().filter(({ dead }) => !dead),
        step.grant,
      ) ?? nth(grants(), step.grant)
    const own = sessions().filter(({ agent }) => agent === grant?.agent)
    const session =
      nth(
        own.filter(({ dead }) => !dead),
        step.session,
      ) ?? nth(own, step.session)
    if (grant === undefined || session === undefined) return null
    let token: string | null = null
    const scopes = step.fewer ? grant.scopes.slice(0, 1) : null
    return {
      async run(deps) {
        const issued = await issueCredential(
          deps,
          caller(session),
          { grant: grant.id, scopes, details: null, via: step.via },
          'req_mint',
        )
        if (issued.ok) token = issued.value.token
        return issued
      },
      async done(now) {
        must(step.via === 'exchange' || grant.delivery === 'inline', 'delivered into the conversation')
        await adoptCredentials(now, session, grant, token)
      },
    }
  }

  async function adoptCredentials(
    now: number,
    session: HeldSession,
    grant: HeldGrant,
    token: string | null,
  ): Promise<void> {
    for (const row of await fresh('credential', model.credentials)) {
      counts.credentials++
      must(model.mayMint(session, grant, now), 'a credential was minted', row)
      must(row.grant === grant.id && row.session === session.id && row.tool === grant.tool, 'minted of another', row)
      must(
        row.scopes.every((scope) => grant.scopes.includes(scope)),
        'minted with more scopes',
        row,
      )
      must(JSON.stringify(queuesOf(row.details)) === JSON.stringify(grant.queues), 'minted with other details', row)
      const last = model.lastOf({ session, grant, issuedAt: now })
      must(row.expiresAt <= last, 'minted for longer', { row, last })
      model.credentials.set(row.id, {
        id: row.id,
        token,
        session,
        grant,
        resource: row.resource,
        issuedAt: now,
        endsAt: row.expiresAt,
        dead: false,
      })
    }
  }

  function locking(step: Extract<Step, { do: 'lock' }>): Doing {
    const name = {
      agent: ['bot', 'other'],
      tool: ['tickets', 'metrics'],
      owner: [...PEOPLE],
      everything: ['everything'],
    }[step.kind]
    const input = {
      kind: step.kind,
      name: nth(name, step.name)!,
      reason: 'x',
      forSeconds: step.forSeconds,
      revokeGrants: step.revokeGrants,
    }
    return {
      run: (deps) => setLock(deps, contextOf(step.who), input),
      async done(now) {
        must(
          model.owns(step.who, ownedBy(step.kind, input.name), now),
          `${step.who} may not lock ${step.kind}/${input.name}`,
        )
        counts.taken++
        for (const { id, kind, name: on, until } of await fresh('lock', model.locks))
          model.lock({ id, kind, name: on, by: step.who, until, lifted: false }, step.revokeGrants)
      },
    }
  }

  function revoking(step: Extract<Step, { do: 'revoke' }>): Doing | null {
    const session = nth(sessions(), step.pick)
    const grant = nth(grants(), step.pick)
    const credential = nth(credentials(), step.pick)
    const id = { session, grant, credential }[step.kind]?.id
    if (id === undefined) return null
    const owned =
      step.kind === 'session'
        ? { agent: session?.agent }
        : step.kind === 'grant'
          ? { agent: grant?.agent, tool: grant?.tool }
          : { agent: credential?.grant.agent, tool: credential?.grant.tool }
    return {
      run: (deps) => revoke(deps, contextOf(step.who), { kind: step.kind, id, reason: null }),
      done(now) {
        must(model.owns(step.who, owned, now), `${step.who} may not revoke a ${step.kind} of ${owned.agent}`)
        counts.taken++
        if (step.kind === 'session') model.endSession(session!)
        else if (step.kind === 'grant') model.endGrants((one) => one === grant)
        else model.endCredentials((one) => one === credential)
      },
    }
  }

  /** Everything that was ever held, tried again; and what the broker has in force, within what the model has. */
  async function verifyAll(): Promise<void> {
    const now = clock.now()
    const { deps } = harness
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
  async function finish(): Promise<void> {
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

  return { take, finish }
}

const isTouched = (row: Widening, before: Widening | undefined) =>
  before !== undefined && (row.state !== before.state || row.given.length !== before.given.length)

const ownedBy = (kind: string, name: string) =>
  kind === 'agent' ? { agent: name } : kind === 'tool' ? { tool: name } : {}

/** The document with some fields of another of its kind, or all of them. */
function someFields(was: Manifest, other: Manifest, picks: readonly number[]): Manifest {
  const names = Object.keys(other).filter(
    (field) => !['kind', 'name', 'labels', 'source', 'purpose', 'category', 'target'].includes(field),
  )
  if (picks.every((pick) => pick >= names.length)) return other
  const fields = picks.flatMap((pick) => names[pick] ?? [])
  return { ...was, ...Object.fromEntries(Object.entries(other).filter(([name]) => fields.includes(name))) }
}
