// An in-memory tool with an admin API as hostile as tools get: down, slow, late, half-created, busy, lying. It keeps
// count of what it holds, so that a test can ask the tool itself, whatever anybody was told.

import { Secret } from '../../src/core/secret.ts'
import type { Capabilities, HeldAccount, MadeAccount, Target, WantedAccount } from '../../src/core/target.ts'
import { TargetFailure } from '../../src/core/target.ts'

export type Op = 'create' | 'setRights' | 'remove' | 'look' | 'probe' | 'list'

/**
 * `down`: surely not asked. `error`: an answer that is none, nothing done. `lost`: done, and the answer never came.
 * `late`: no answer, and it is done when the test says so. `half`: a create that got no further than the account.
 * `hang`: no answer at all. `busy`: not now. `lie`: says yes and does nothing; a look shows it inactive.
 */
export type Fault = 'down' | 'error' | 'lost' | 'late' | 'half' | 'hang' | 'busy' | 'lie'

type Entry = { external: string; secret: string; rights: readonly string[]; active: boolean }

export type FakeTool = Target & {
  readonly accounts: Map<string, Entry>
  /** Every call that reached it, in order: `create hp-…`. */
  readonly calls: string[]
  /** What goes wrong with the next calls; null is nothing. */
  fault: (op: Op, name: string) => Fault | null
  /** Carries out what is late. */
  deliver(): void
  /** Active accounts, by name. */
  active(): string[]
  works(secret: string): boolean
  /** How many accounts were ever made under one name, at most: more than one is a double. */
  mostMade(): number
}

export const CAPABILITIES: Capabilities = {
  scope: 'exact',
  expires: false,
  lists: true,
  revokes: true,
  probes: true,
  deadWithinMilliseconds: 0,
  presents: { header: 'X-Fake-Key', prefix: 'key ' },
}

export function fakeTool(capabilities: Partial<Capabilities> = {}): FakeTool {
  const accounts = new Map<string, Entry>()
  const calls: string[] = []
  const late: (() => void)[] = []
  const made = new Map<string, number>()
  let serial = 0

  const create = ({ name, rights }: WantedAccount): MadeAccount => {
    const before = accounts.get(name)
    if (before === undefined) made.set(name, (made.get(name) ?? 0) + 1)
    const secret = `${String(++serial).padStart(8, '0')}-${name}-secret`
    const entry = { external: before?.external ?? `u${serial}`, secret, rights, active: true }
    accounts.set(name, entry)
    return { external: entry.external, secret: new Secret(secret) }
  }
  const held = (name: string, { external, rights, active }: Entry): HeldAccount => ({
    name,
    external,
    active,
    rights: [...rights].sort(),
  })

  /** `act` is what the tool does; `pretend` is what it says when it lies. */
  async function answer<T>(op: Op, name: string, signal: AbortSignal, act: () => T, pretend: () => T): Promise<T> {
    const fault = tool.fault(op, name)
    if (fault !== 'down') calls.push(`${op} ${name}`.trim())
    await Promise.resolve()
    switch (fault) {
      case null:
        return act()
      case 'down':
        throw new TargetFailure('unreachable', 'ECONNREFUSED', { mayHaveActed: false })
      case 'error':
        throw new TargetFailure('garbled', '500')
      case 'half':
        act()
        if (op === 'create') accounts.set(name, { ...accounts.get(name)!, rights: [] })
        throw new TargetFailure('garbled', '500 after the account was made')
      case 'lost':
        act()
        throw new TargetFailure('unreachable', 'ECONNRESET')
      case 'late':
        late.push(() => void act())
        throw new TargetFailure('timeout', 'no answer')
      case 'busy':
        throw new TargetFailure('busy', '429', { mayHaveActed: false, retryAfterSeconds: 7 })
      case 'hang':
        return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
      case 'lie':
        return pretend()
    }
  }

  const tool: FakeTool = {
    capabilities: { ...CAPABILITIES, ...capabilities },
    accounts,
    calls,
    fault: () => null,
    deliver() {
      for (const act of late.splice(0)) act()
    },
    active: () => [...accounts].flatMap(([name, { active }]) => (active ? [name] : [])).sort(),
    works: (secret) => [...accounts.values()].some((entry) => entry.active && entry.secret === secret),
    mostMade: () => Math.max(0, ...made.values()),
    canonical: (rights) => [...new Set(rights)].sort(),
    create: (wanted, signal) =>
      answer(
        'create',
        wanted.name,
        signal,
        () => create(wanted),
        () => ({ external: '', secret: new Secret('lie') }),
      ),
    setRights: ({ name }, rights, signal) =>
      answer(
        'setRights',
        name,
        signal,
        () => {
          const entry = accounts.get(name)
          if (entry !== undefined) accounts.set(name, { ...entry, rights })
        },
        () => {},
      ),
    remove: ({ name }, signal) =>
      answer(
        'remove',
        name,
        signal,
        () => {
          const entry = accounts.get(name)
          if (entry !== undefined) accounts.set(name, { ...entry, active: false })
        },
        () => {},
      ),
    look: ({ name }, signal) => {
      const see = () => {
        const entry = accounts.get(name)
        return entry === undefined ? null : held(name, entry)
      }
      const pretend = () => {
        const seen = see()
        return seen === null ? null : { ...seen, active: false }
      }
      return answer('look', name, signal, see, pretend)
    },
    probe: (secret, signal) =>
      answer(
        'probe',
        '',
        signal,
        () => (tool.works(secret.reveal()) ? 'alive' : 'dead'),
        () => 'dead',
      ),
    list: (limit, signal) =>
      answer(
        'list',
        '',
        signal,
        () => {
          if (accounts.size > limit)
            throw new TargetFailure('garbled', 'more than can be read', { mayHaveActed: false })
          return [...accounts].map(([name, entry]) => held(name, entry))
        },
        () => [],
      ),
  }
  return tool
}
