// `session`, `grant`, `credential`, `receipt`: what agents hold, taken away, and the proof of it.

import type { Command } from 'commander'
import type { Act } from '../core/matrix.ts'
import { agentIdentity } from './agent-identity.ts'
import { type Cli, duration, piece, verb } from './command.ts'
import { answerReceipt, awaitReceipt, SHORT_WAIT_SECONDS } from './receipts.ts'
import { allFields, objectOf, receiptLines, show, table } from './show.ts'

type Filter = { agent?: string; tool?: string; owner?: string }

const KINDS = {
  session: {
    path: 'sessions',
    see: 'session.see',
    take: 'session.revoke',
    columns: ['id', 'agent', 'status', 'openedAt', 'expiresAt'],
  },
  grant: {
    path: 'grants',
    see: 'grant.see',
    take: 'grant.revoke',
    columns: ['id', 'agent', 'tool', 'scopes', 'details', 'status', 'approvedBy', 'expiresAt'],
  },
  credential: {
    path: 'credentials',
    see: 'credential.see',
    take: 'credential.revoke',
    columns: ['id', 'agent', 'tool', 'scopes', 'status', 'issuedAt', 'expiresAt'],
  },
} as const satisfies Record<string, { path: string; see: Act; take: Act; columns: readonly string[] }>

/** `list` and `revoke` of one kind. */
export function addHolding(parent: Command, cli: Cli, kind: keyof typeof KINDS): void {
  const { path, see, take, columns } = KINDS[kind]
  const list = verb(parent, 'list', `list ${path}, newest first`)
    .option('--agent <name>', 'of this agent')
    .option('--owner <email>', 'of agents and tools of this person')
  if (kind !== 'session') list.option('--tool <name>', 'for this tool')
  list.action(async ({ agent, tool, owner }: Filter) => {
    const rows = await cli.remote().all({ path: `/v1/${path}`, query: { agent, tool, owner }, act: see })
    cli.terminal.answer(rows, () => table(rows, columns, `No ${path}.`))
  })

  verb(parent, 'revoke <id>', `take a ${kind} away, and print the receipt`)
    .option('--reason <text>', 'for the record')
    .option('--wait <duration>', `how long to wait for confirmation; default ${SHORT_WAIT_SECONDS}s`, duration)
    .action(async (id: string, { reason, wait = SHORT_WAIT_SECONDS }: { reason?: string; wait?: number }) => {
      const remote = cli.remote()
      const taken = objectOf(
        await remote.call({
          path: `/v1/${path}/${piece(id)}/revoke`,
          body: reason === undefined ? {} : { reason },
          act: take,
        }),
      )
      const receipt = await awaitReceipt(cli, remote, taken, wait)
      const { note, lockCommand } = taken
      const more =
        note === undefined ? [] : [show(note), ...(lockCommand === undefined ? [] : [`  ${show(lockCommand)}`])]
      answerReceipt(cli, { ...objectOf(receipt), ...(note === undefined ? {} : { note, lockCommand }) }, receipt, more)
    })
}

export function addSessionToken(session: Command, cli: Cli): void {
  verb(session, 'token', 'print a session token, for curl (HALLPASS_AGENT, HALLPASS_AGENT_KEY)').action(async () => {
    const { token, expiresInSeconds } = await agentIdentity(cli).session()
    cli.terminal.answer({ accessToken: token, tokenType: 'Bearer', expiresInSeconds }, () => [token])
  })
}

export function addCredentialShow(credential: Command, cli: Cli): void {
  verb(credential, 'show <id>', 'show a credential by its jti; never the token itself').action(async (id: string) => {
    const found = await cli.remote().call({ path: `/v1/credentials/${piece(id)}`, act: 'credential.see' })
    cli.terminal.answer(found, () => allFields(found))
  })
}

export function addReceipt(receipt: Command, cli: Cli): void {
  verb(receipt, 'show <id>', 'show who confirmed what, how and when').action(async (id: string) => {
    const found = await cli.remote().call({ path: `/v1/receipts/${piece(id)}`, act: 'receipt.see' })
    cli.terminal.answer(found, () => receiptLines(found))
    if (objectOf(found).status !== 'revoked') cli.exitWith(2)
  })
}
