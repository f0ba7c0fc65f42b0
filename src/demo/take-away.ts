// The third walk: a session is revoked, the agent comes back, the agent is decommissioned; and a receipt says who
// confirmed that what it had is dead.
import type { z } from 'zod'
import type { Credential } from './agent.ts'
import { callTool } from './call-tool.ts'
import type { Tell } from './narrator.ts'
import { AgentStatus, Receipt, SessionRevoked, Sessions, ToolRefusal } from './shapes.ts'
import type { Stage } from './stage.ts'
import { expectShape, expectThat, until } from './steps.ts'

/** How long a tool may go on accepting what was taken away, milliseconds. */
const DEAD_MS = 5_000
/** A broker that just started believes no guard for one lease of 10 seconds, so a receipt may take that long. Seconds. */
const RECEIPT_SECONDS = 30

/** Everything that was asked for in the session goes with it. */
export async function revokeSession(stage: Stage, tell: Tell, { token }: Credential): Promise<void> {
  const { agent, owner, tickets } = stage
  const { items } = expectShape(Sessions, (await owner.get(`/sessions?agent=${agent.name}`)).body, 'the sessions')
  const open = items.filter(({ status }) => status === 'open')
  expectThat(open.length === 1, 'one open session', items)
  tell.did(`${owner.name} revokes the session of ${agent.name}`)
  const dead = untilRefused(`${tickets.resource}/tickets`, token)
  const reply = await owner.post(`/sessions/${open[0]?.id}/revoke`, { reason: 'it talks too much' })
  expectThat(reply.status === 200, 'the session to be revoked', reply)
  const { counts, note } = expectShape(SessionRevoked, reply.body, 'a receipt')
  expectThat(counts.grants > 0 && counts.credentials > 0, 'grants and tokens to go with it', counts)
  tell.came(`${counts.grants} grants and ${counts.credentials} tokens went with it. ${note}`)
  const { message, afterMs } = await dead
  tell.came(`the tool, ${afterMs} ms later: 401 ${message}`)
}

/** For ever: no session, no token, and its name is not used again. Answers the receipt's id. */
export async function decommission(
  stage: Stage,
  tell: Tell,
  held: { readonly tickets: string; readonly metrics: string },
): Promise<string> {
  const { agent, owner, tickets, metrics } = stage
  tell.did(`${owner.name} decommissions ${agent.name}, which holds a token of each tool`)
  const dead = Promise.all([
    untilRefused(`${tickets.resource}/tickets`, held.tickets),
    untilRefused(`${metrics.resource}/api/v1/query?query=up`, held.metrics),
  ])
  const reply = await owner.post(`/agents/${agent.name}/decommission`, { reason: 'replaced', wait: false })
  expectThat(reply.status === 200, 'the agent to be decommissioned', reply)
  const { id } = expectShape(Receipt, reply.body, 'a receipt')
  const [desk, service] = await dead
  tell.came(`the ticket desk, ${desk.afterMs} ms later: 401 ${desk.message}`)
  tell.came(`the metrics service, ${service.afterMs} ms later: 401 ${service.message}`)
  tell.did(`${agent.name} signs in with its key once more`)
  const refused = await withoutWarnings(() =>
    agent.connect().then(
      () => null,
      (thrown: unknown) => (thrown instanceof Error ? thrown.message : String(thrown)),
    ),
  )
  expectThat(refused !== null, 'its key to open no session any more', 'a session')
  tell.came(`refused: ${refused}`)
  return id
}

/** Revoked is said only of what the tools' sides confirmed. */
export async function readReceipt(stage: Stage, tell: Tell, id: string): Promise<void> {
  const { agent, owner } = stage
  tell.did(`${owner.name} reads ${id} once every tool has confirmed (a guard counts from a broker's tenth second on)`)
  const reply = await owner.get(`/receipts/${id}?wait=${RECEIPT_SECONDS}`)
  const receipt = expectShape(Receipt, reply.body, 'a receipt')
  tell.came(`${receipt.status}: ${receipt.target}, by ${receipt.by}`)
  for (const one of receipt.confirmations) tell.shown(confirmation(one))
  expectThat(receipt.status === 'revoked', 'every tool to have confirmed', receipt)
  const tools = receipt.confirmations.map(({ tool }) => tool).sort()
  expectThat(tools.join() === 'metrics,tickets', 'a confirmation from each tool', receipt.confirmations)
  const { status } = expectShape(AgentStatus, (await owner.get(`/agents/${agent.name}`)).body, 'the agent')
  expectThat(status === 'decommissioned', `${agent.name} to be decommissioned`, status)
}

const confirmation = (one: z.output<typeof Receipt>['confirmations'][number]) =>
  `${one.tool}: ${one.credentials} ${one.credentials === 1 ? 'token' : 'tokens'} ${one.status} after ${one.afterMilliseconds} ms (${one.how})`

/** From now until the tool says 401. */
async function untilRefused(
  url: string,
  token: string,
): Promise<{ readonly message: string; readonly afterMs: number }> {
  const { value, afterMs } = await until(
    async () => {
      const answer = await callTool(url, token)
      return answer.status === 401 ? answer : null
    },
    { withinMs: DEAD_MS, expected: `${url} to refuse the token` },
  )
  return { message: expectShape(ToolRefusal, value.body, 'a refusal').message, afterMs }
}

/** The client warns on the console before it gives up; here that is what is wanted, and told in words of our own. */
async function withoutWarnings<T>(act: () => Promise<T>): Promise<T> {
  const { warn } = console
  console.warn = () => {}
  try {
    return await act()
  } finally {
    console.warn = warn
  }
}
