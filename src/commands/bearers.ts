// Tokens for people and tools. Over the local socket only, and each is shown once (S10).

import type { Command } from 'commander'
import { type Cli, duration, piece, verb } from './command.ts'
import { at, objectOf, show, table, textOf } from './show.ts'
import { Stop } from './stop.ts'

const ROLES = ['admin', 'auditor', 'publisher']

export function addOwnerToken(owner: Command, cli: Cli): void {
  verb(owner, 'token <email>', 'make a token for an owner, at most 12h (on the broker’s host)')
    .option('--for <duration>', 'how long it lives', duration)
    .action((email: string, options: { for?: number }) => make(cli, 'owner', email, options.for))
}

export function addAdminToken(admin: Command, cli: Cli): void {
  verb(admin, 'token [email]', 'make a token for an admin, auditor or publisher (on the broker’s host)')
    .option('--role <role>', ROLES.join(', '), 'admin')
    .option('--for <duration>', 'how long it lives; default and at most 90d', duration)
    .action((email: string | undefined, { role, for: seconds }: { role: string; for?: number }) => {
      if (!ROLES.includes(role)) throw new Stop(1, `there is no role "${role}"`, [`Roles: ${ROLES.join(', ')}`])
      return make(cli, role, email ?? `${role}@hallpass.local`, seconds)
    })
}

export function addVerifierToken(verifier: Command, cli: Cli): void {
  verb(verifier, 'token <tool>', 'make the token by which a tool asks about credentials (on the broker’s host)')
    .option('--for <duration>', 'how long it lives; default and at most 400d', duration)
    .action((tool: string, options: { for?: number }) => make(cli, 'verifier', tool, options.for))
}

export function addTokens(program: Command, cli: Cli): void {
  verb(program, 'token-list', 'list the tokens of people and tools, never the tokens themselves (on the broker’s host)')
    .option('--kind <kind>', 'owner, admin, auditor, publisher or verifier')
    .action(async ({ kind }: { kind?: string }) => {
      const tokens = await cli.operator().all({ path: '/v1/operator/tokens', query: { kind }, act: 'bearer.list' })
      cli.terminal.answer(tokens, () =>
        table(tokens, ['id', 'kind', 'subject', 'status', 'createdAt', 'expiresAt', 'madeBy', 'warning'], 'No tokens.'),
      )
    })

  verb(program, 'token-revoke <id>', 'take a token back (on the broker’s host)')
    .option('--reason <text>', 'for the record')
    .action(async (id: string, { reason }: { reason?: string }) => {
      const body = reason === undefined ? {} : { reason }
      const revoked = await cli
        .operator()
        .call({ path: `/v1/operator/tokens/${piece(id)}/revoke`, body, act: 'bearer.revoke' })
      cli.terminal.answer(revoked, () => [
        `Revoked ${at(revoked, 'id')} (${at(revoked, 'kind')} ${at(revoked, 'subject')}): it opens nothing any more.`,
      ])
    })
}

async function make(cli: Cli, kind: string, subject: string, ttlSeconds: number | undefined): Promise<void> {
  const body = { kind, subject, ...(ttlSeconds === undefined ? {} : { ttlSeconds }) }
  const made = objectOf(await cli.operator().call({ path: '/v1/operator/tokens', body, act: 'bearer.make' }))
  // The token alone on stdout, so that it can be piped; what is said about it goes to stderr.
  cli.terminal.answer(made, () => [textOf(made.token)])
  if (!cli.terminal.json())
    cli.terminal.note(
      `${show(kind)} token for ${show(made.subject)}, ${show(made.id)}, until ${show(made.expiresAt)}. It is shown this once.`,
    )
}
