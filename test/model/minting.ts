// The step that makes a credential of a grant.

import { issueCredential } from '../../src/actions/issue-credential.ts'
import { queuesOf } from './broker-words.ts'
import type { HeldGrant, HeldSession } from './reference-model.ts'
import type { Step } from './steps.ts'
import { caller, type Doing, must, nth, type World } from './world.ts'

export function minting(world: World, step: Extract<Step, { do: 'mint' }>): Doing | null {
  const { sessions, grants } = world
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
      await adoptCredentials(world, now, session, grant, token)
    },
  }
}

async function adoptCredentials(
  { model, counts, fresh }: World,
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
