// `token TOOL`: an agent in a shell asks, waits for its owner if told to, and gets the credential alone on stdout.

import type { Command } from 'commander'
import { agentIdentity } from './agent-identity.ts'
import { type Cli, verb } from './command.ts'
import { type Asked, obtainGrant, withAsking } from './obtain-grant.ts'
import { objectOf, textOf } from './show.ts'

export function addToken(program: Command, cli: Cli): void {
  withAsking(
    verb(
      program,
      'token <tool>',
      'print a credential for a tool, asking first if need be (HALLPASS_AGENT, HALLPASS_AGENT_KEY)',
    ),
  )
    .requiredOption('--reason <text>', 'why, for the owner: name the ticket or the alert')
    .action(async (tool: string, options: Asked) => {
      const identity = agentIdentity(cli)
      const grant = await obtainGrant(cli, identity, tool, options)
      const issued = await identity.exchange(textOf(grant.id))
      const scopes = issued.scope.split(' ')
      const answer = {
        accessToken: issued.token,
        tokenType: 'Bearer',
        expiresInSeconds: issued.expiresInSeconds,
        scopes,
        resource: objectOf(grant.use).resource,
        grant: grant.id,
      }
      cli.terminal.answer(answer, () => [issued.token])
    })
}
