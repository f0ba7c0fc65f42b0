// Steps that take away, and the lifting of locks: who may is the model's to say, and what they took is dead for good.

import { decommissionAgent } from '../../src/actions/decommission-agent.ts'
import { liftLock, setLock } from '../../src/actions/lock.ts'
import { releaseGrant } from '../../src/actions/release-access.ts'
import { revoke } from '../../src/actions/revoke.ts'
import { PEOPLE, type Step } from './steps.ts'
import { caller, contextOf, type Doing, must, nth, type World } from './world.ts'

export function releasing({ model, grants }: World, step: Extract<Step, { do: 'release' }>): Doing | null {
  const grant = nth(grants(), step.grant)
  if (grant === undefined) return null
  const session = model.sessions.get(grant.session)!
  return {
    run: (deps) => releaseGrant(deps, caller(session), grant.id, 'req_release'),
    done: () => model.endGrants((one) => one === grant),
  }
}

export function locking({ model, counts, fresh }: World, step: Extract<Step, { do: 'lock' }>): Doing {
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

export function revoking(
  { model, counts, sessions, grants, credentials }: World,
  step: Extract<Step, { do: 'revoke' }>,
): Doing | null {
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

export function lifting({ model }: World, step: Extract<Step, { do: 'lift' }>): Doing | null {
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

export function decommissioning({ model, counts }: World, step: Extract<Step, { do: 'decommission' }>): Doing {
  return {
    run: (deps) => decommissionAgent(deps, contextOf(step.who), { agent: step.agent, reason: null }),
    done(now) {
      must(model.owns(step.who, { agent: step.agent }, now), `${step.who} may not decommission ${step.agent}`)
      counts.taken++
      model.end(step.agent)
    },
  }
}

const ownedBy = (kind: string, name: string) =>
  kind === 'agent' ? { agent: name } : kind === 'tool' ? { tool: name } : {}
