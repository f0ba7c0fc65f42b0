// The reference: what is in force by accepted edits, what is held, and what was taken. Small and slow on purpose: every
// question is answered from these lists alone, and nothing that died is ever set alive again.

import type { ManifestSet } from '../../src/core/manifest.ts'
import {
  documentsOf,
  meetParts,
  type Need,
  needsOf,
  ownersOf,
  type Part,
  type Parts,
  POINTS,
  partsOf,
  people,
  shown,
} from './authority-model.ts'

const RESUME_MS = 600_000

export type HeldSession = {
  readonly id: string
  readonly agent: string
  readonly key: string
  readonly expiresAt: number
  dead: boolean
}
export type HeldGrant = {
  readonly id: string
  readonly agent: string
  readonly tool: string
  readonly session: string
  readonly scopes: readonly string[]
  readonly queues: readonly string[] | null
  readonly level: 'none' | 'owner'
  readonly delivery: 'inline' | 'exchange'
  readonly approver: string | null
  readonly createdAt: number
  /** Only ever earlier. */
  endsAt: number
  dead: boolean
}
export type HeldCredential = {
  readonly id: string
  readonly token: string | null
  readonly session: HeldSession
  readonly grant: HeldGrant
  readonly resource: string
  readonly issuedAt: number
  endsAt: number
  dead: boolean
}
export type HeldLock = {
  readonly id: string
  readonly kind: 'agent' | 'tool' | 'owner' | 'everything'
  readonly name: string
  readonly by: string
  readonly until: number | null
  lifted: boolean
}
type Waiting = { readonly before: string; readonly to: Part; needs: Need[]; declined: boolean }
type Resumable = {
  readonly part: Part
  readonly documents: ReadonlyMap<string, string | undefined>
  readonly until: number
}

export class ReferenceModel {
  parts: Parts
  set: ManifestSet
  readonly waiting = new Map<string, Waiting>()
  readonly resumable = new Map<string, Resumable>()
  readonly ended = new Set<string>()
  readonly sessions = new Map<string, HeldSession>()
  readonly grants = new Map<string, HeldGrant>()
  readonly credentials = new Map<string, HeldCredential>()
  readonly locks = new Map<string, HeldLock>()

  constructor(set: ManifestSet) {
    this.set = set
    this.parts = new Map(partsOf(set))
  }

  /** A manifest set that was taken: what it takes away is gone at once, what it gives waits. */
  edit(set: ManifestSet, now: number): void {
    const isOver = (id: string) => /^(agent|access)\//.test(id) && this.ended.has(id.split('/')[1] ?? '')
    const wanted = new Map([...partsOf(set)].filter(([id]) => !isOver(id)))
    const before: Parts = new Map()
    const missed: Part[] = []
    for (const [id, part] of this.parts) {
      if (isOver(id)) continue
      const comesBack = this.comesBack(id, set, now)
      if (comesBack === 'not yet') missed.push(this.resumable.get(id)!.part)
      before.set(id, comesBack === 'now' ? this.resumable.get(id)!.part : part)
    }
    const named = [...before.values(), ...wanted.values(), ...missed]
    const left: Parts = new Map()
    for (const id of new Set([...before.keys(), ...wanted.keys()])) {
      const isNamed = named.some((part) => (part?.of === 'agent' || part?.of === 'tool') && part.owners.includes(id))
      const to = wanted.get(id) ?? null
      left.set(id, to?.of === 'team' && !isNamed ? to : meetParts(before.get(id) ?? null, to))
    }
    const waited = new Map(this.waiting)
    this.waiting.clear()
    for (const [id, to] of wanted) {
      if (shown(left.get(id) ?? null) === shown(to)) continue
      const needs = needsOf({ before, left, wanted, named }, id, to)
      const was = waited.get(id)
      const isSame = was?.before === shown(left.get(id) ?? null) && shown(was.to) === shown(to)
      this.waiting.set(id, {
        before: shown(left.get(id) ?? null),
        to,
        needs: isSame ? needs.map((need) => carried(need, was.needs)) : needs,
        declined: isSame && was.declined,
      })
    }
    for (const [id, part] of left) this.remember(id, before.get(id) ?? null, part, set, now)
    for (const [id, part] of this.parts) if (isOver(id)) left.set(id, part)
    const was = this.parts
    this.parts = left
    this.set = set
    this.follow(was)
  }

  private comesBack(id: string, set: ManifestSet, now: number): 'now' | 'not yet' | 'never' {
    const kept = this.resumable.get(id)
    if (kept === undefined || now >= kept.until) return 'never'
    const documents = [...kept.documents]
    if (documents.some(([name, digest]) => (set.documentDigests.get(name) ?? digest) !== digest)) return 'never'
    return documents.every(([name]) => set.documentDigests.has(name)) ? 'now' : 'not yet'
  }

  private remember(id: string, was: Part | null, now: Part | null, set: ManifestSet, at: number): void {
    if (this.comesBack(id, set, at) === 'not yet') return
    this.resumable.delete(id)
    if (was === null || shown(was) === shown(now)) return
    const names = documentsOf(id, was, this.set).filter((name) => this.set.documentDigests.has(name))
    const digestIn = (of: ManifestSet, name: string) => of.documentDigests.get(name)
    const isEdited = names.some(
      (name) => set.documentDigests.has(name) && digestIn(set, name) !== digestIn(this.set, name),
    )
    if (isEdited || names.every((name) => set.documentDigests.has(name))) return
    this.resumable.set(id, {
      part: was,
      documents: new Map(names.map((name) => [name, digestIn(this.set, name)])),
      until: at + RESUME_MS,
    })
  }

  /** Why this yes is not theirs to give; null where it is. A yes that completes it is `accepted`. */
  accept(
    given: readonly { readonly id: string; readonly accepted: boolean }[],
    by: string,
    now: number,
  ): string | null {
    if (this.isLocked('everything', 'everything', now) || this.isLocked('owner', by, now)) return 'under a lock'
    const meets = (need: Need) =>
      need.givenBy === null &&
      (need.eligible === 'admin' ? by === 'admin' : need.eligible.includes(by) && this.peopleFor(need.as).includes(by))
    const mine = given.map(({ id }) => ({ id, needs: this.waiting.get(id)?.needs.filter(meets) ?? [] }))
    const was = new Map(this.parts)
    for (const [index, { id, accepted }] of given.entries()) {
      const waits = this.waiting.get(id)
      const [of, first = '', second = ''] = id.split('/')
      if (waits === undefined || waits.declined) return `${id} does not wait`
      if (shown(this.parts.get(id) ?? null) !== waits.before) return `${id} moved`
      if (mine[index]!.needs.length === 0) return `${by} may not accept ${id}`
      if ((of === 'agent' || of === 'access') && (this.isLocked('agent', first, now) || this.ended.has(first)))
        return `${first} is locked`
      const tool = of === 'tool' ? first : second
      if (tool !== '' && this.isLocked('tool', tool, now)) return `${tool} is locked`
      for (const need of mine[index]!.needs) need.givenBy = by
      if (!accepted) continue
      if (waits.needs.some(({ givenBy }) => givenBy === null))
        return `${id} misses ${waits.needs.filter(({ givenBy }) => givenBy === null).map(({ as }) => as)}`
      this.parts.set(id, waits.to)
      this.waiting.delete(id)
      this.resumable.delete(id)
    }
    this.follow(was)
    return null
  }

  /** Somebody who decides for something now, and did not when it began to wait. */
  gained(): string | undefined {
    const needs = [...this.waiting.values()].flatMap((waits) => waits.needs)
    return needs.flatMap(({ as, eligible }) => this.peopleFor(as).filter((one) => !eligible.includes(one)))[0]
  }

  private peopleFor(as: string): string[] {
    return as.startsWith('team/') ? people(this.parts, [as]) : ownersOf(this.parts, as)
  }

  /** What an edit made of what is held. */
  private follow(was: Parts): void {
    for (const [id, part] of was) {
      const now = this.parts.get(id) ?? null
      if (part?.of === 'agent') {
        const isGone = now?.of !== 'agent' || (now.stopped && !part.stopped)
        for (const session of this.sessions.values())
          if (session.agent === part.name && (isGone || !now.keys.includes(session.key))) this.endSession(session)
        if (isGone) this.endGrants((grant) => grant.agent === part.name)
      }
      const cut = part?.of === 'tool' && (now?.of !== 'tool' || now.resource !== part.resource)
      if (cut) this.endGrants((grant) => grant.tool === part.name)
    }
    for (const grant of this.grants.values()) {
      const covering = this.covering(grant)
      if (covering.length === 0) grant.dead = true
      const agent = this.parts.get(`agent/${grant.agent}`)
      const review = agent?.of === 'agent' ? agent.reviewEnd : 0
      grant.endsAt = Math.min(
        grant.endsAt,
        review,
        grant.createdAt + 1000 * Math.max(0, ...covering.map(({ grantFor }) => grantFor)),
      )
    }
    for (const credential of this.credentials.values()) {
      if (credential.grant.dead || credential.session.dead) credential.dead = true
      credential.endsAt = Math.min(credential.endsAt, this.lastOf(credential))
    }
  }

  /** Points in force that alone allow what the grant holds, at the level it was approved and the way it is delivered. */
  covering({
    agent,
    tool,
    scopes,
    queues,
    level,
    delivery,
  }: Pick<HeldGrant, 'agent' | 'tool' | 'scopes' | 'queues' | 'level' | 'delivery'>) {
    const access = this.parts.get(`access/${agent}/${tool}`)
    const of = this.parts.get(`tool/${tool}`)
    if (access?.of !== 'access' || of?.of !== 'tool') return []
    if (!scopes.every((scope) => scope in of.scopes && of.scopes[scope]!.level <= (level === 'owner' ? 1 : 0)))
      return []
    if (queues !== null && !of.details.includes('queue')) return []
    return access.points
      .map((id) => POINTS[id]!)
      .filter(
        (point) =>
          point.scopes.join() === scopes.join() &&
          JSON.stringify(point.queues) === JSON.stringify(queues) &&
          point.level === level &&
          point.delivery === delivery,
      )
  }

  /** The last instant a credential may live to, by what is in force now. */
  lastOf({ grant, session, issuedAt }: Pick<HeldCredential, 'grant' | 'session' | 'issuedAt'>): number {
    const tool = this.parts.get(`tool/${grant.tool}`)
    const byPoint = this.covering(grant).map(({ grantFor, ttl }) =>
      Math.min(grant.createdAt + grantFor * 1000, issuedAt + ttl * 1000),
    )
    const byTool = tool?.of === 'tool' ? issuedAt + tool.maxTtl * 1000 : 0
    return Math.min(session.expiresAt, grant.endsAt, byTool, Math.max(0, ...byPoint))
  }

  endSession(session: HeldSession): void {
    session.dead = true
    this.endGrants((grant) => grant.session === session.id)
    this.endCredentials((credential) => credential.session === session)
  }

  endGrants(which: (grant: HeldGrant) => boolean): void {
    for (const grant of this.grants.values()) if (which(grant)) grant.dead = true
    this.endCredentials(({ grant }) => which(grant))
  }

  endCredentials(which: (credential: HeldCredential) => boolean): void {
    for (const credential of this.credentials.values()) if (which(credential)) credential.dead = true
  }

  decline(id: string): void {
    const waits = this.waiting.get(id)
    if (waits !== undefined) waits.declined = true
  }

  /** Kills the credentials for good, an agent's and everything's sessions too; grants where asked (S12). */
  lock(lock: HeldLock, revokeGrants: boolean): void {
    this.locks.set(lock.id, lock)
    const { kind, name } = lock
    const hits = (grant: HeldGrant) =>
      kind === 'everything' || (kind === 'agent' ? grant.agent : kind === 'tool' ? grant.tool : grant.approver) === name
    if (kind === 'agent' || kind === 'everything')
      for (const session of this.sessions.values())
        if (kind === 'everything' || session.agent === name) session.dead = true
    this.endCredentials(({ grant }) => hits(grant))
    if (revokeGrants) this.endGrants(hits)
  }

  end(agent: string): void {
    this.ended.add(agent)
    for (const session of this.sessions.values()) if (session.agent === agent) this.endSession(session)
    this.endGrants((grant) => grant.agent === agent)
  }

  isLocked(kind: HeldLock['kind'], name: string, now: number): boolean {
    return [...this.locks.values()].some(
      (lock) => !lock.lifted && lock.kind === kind && lock.name === name && (lock.until === null || now < lock.until),
    )
  }

  owns(
    person: string,
    of: { readonly agent?: string | undefined; readonly tool?: string | undefined },
    now: number,
  ): boolean {
    if (person === 'admin') return true
    const isOwner =
      (of.agent !== undefined && ownersOf(this.parts, `agent/${of.agent}`).includes(person)) ||
      (of.tool !== undefined && ownersOf(this.parts, `tool/${of.tool}`).includes(person))
    return isOwner && !this.isLocked('owner', person, now)
  }

  isAgentFine(agent: string, now: number): boolean {
    const part = this.parts.get(`agent/${agent}`)
    return (
      part?.of === 'agent' &&
      !part.stopped &&
      !this.ended.has(agent) &&
      !this.isLocked('agent', agent, now) &&
      !this.isLocked('everything', 'everything', now)
    )
  }

  isToolFine(agent: string, tool: string, now: number): boolean {
    const part = this.parts.get(`agent/${agent}`)
    return (
      this.isAgentFine(agent, now) &&
      part?.of === 'agent' &&
      now < part.reviewEnd &&
      this.parts.get(`tool/${tool}`)?.of === 'tool' &&
      !this.isLocked('tool', tool, now)
    )
  }

  isSessionAlive(session: HeldSession, now: number): boolean {
    const part = this.parts.get(`agent/${session.agent}`)
    return (
      !session.dead &&
      now < session.expiresAt &&
      this.isAgentFine(session.agent, now) &&
      part?.of === 'agent' &&
      part.keys.includes(session.key)
    )
  }

  isGrantAlive(grant: HeldGrant, now: number): boolean {
    const suspended = grant.approver !== null && this.isLocked('owner', grant.approver, now)
    return !grant.dead && now < grant.endsAt && !suspended && this.isToolFine(grant.agent, grant.tool, now)
  }

  isCredentialAlive(credential: HeldCredential, now: number): boolean {
    const tool = this.parts.get(`tool/${credential.grant.tool}`)
    return (
      !credential.dead &&
      now < credential.endsAt &&
      this.isSessionAlive(credential.session, now) &&
      this.isGrantAlive(credential.grant, now) &&
      tool?.of === 'tool' &&
      tool.resource === credential.resource
    )
  }

  mayMint(session: HeldSession, grant: HeldGrant, now: number): boolean {
    return session.agent === grant.agent && this.isSessionAlive(session, now) && this.isGrantAlive(grant, now)
  }
}

/** A need keeps the people it began with while one of them is left, and the yes that was given. */
function carried(need: Need, before: readonly Need[]): Need {
  const began = before.find(({ as }) => as === need.as)
  if (began === undefined) return need
  const kept =
    began.eligible !== 'admin' &&
    need.eligible !== 'admin' &&
    !began.eligible.some((one) => need.eligible.includes(one))
      ? need
      : began
  const holds = began.givenBy !== null && (kept.eligible === 'admin' || kept.eligible.includes(began.givenBy))
  return { ...kept, givenBy: holds ? began.givenBy : null }
}
