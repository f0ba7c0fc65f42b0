// The second walk: the manifest is edited in the watched folder. What it takes away is gone at once, from tokens that
// are out as well; what it gives waits for an owner.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Credential } from './agent.ts'
import { callTool } from './call-tool.ts'
import type { Tell } from './narrator.ts'
import { Refused, Revisions, Settled, ToolRefusal } from './shapes.ts'
import type { Stage } from './stage.ts'
import { expectShape, expectThat, until } from './steps.ts'

const ROLE = join('roles', 'incident-triage.yaml')
const WIDE = 'scopes: [ticket:read, ticket:comment]'
const NARROW = 'scopes: [ticket:read]'

/** How long a step waits for an edit to be in force, milliseconds. */
const IN_FORCE_MS = 5_000

function edit({ broker }: Stage, before: string, after: string): void {
  const path = join(broker.scopesPath, ROLE)
  const text = readFileSync(path, 'utf8')
  expectThat(text.includes(before), `“${before}” in ${ROLE}`, text)
  writeFileSync(path, text.replace(before, after))
}

/** The token that worked a moment ago is dead, though it had minutes left; what the edit does not touch lives on. */
export async function narrow(stage: Stage, tell: Tell, { token }: Credential, metricsToken: string): Promise<void> {
  const url = `${stage.tickets.resource}/tickets`
  expectThat((await callTool(url, token)).status === 200, 'the token to work until the edit', 'a refusal')
  tell.did(`somebody edits ${ROLE}:`)
  tell.shown(`- ${WIDE}\n+ ${NARROW}`)
  edit(stage, WIDE, NARROW)
  const { value: refused, afterMs } = await until(
    async () => {
      const answer = await callTool(url, token)
      return answer.status === 401 ? answer : null
    },
    { withinMs: IN_FORCE_MS, expected: 'the tool to refuse the token' },
  )
  tell.came(`${afterMs} ms later the tool answers 401: ${expectShape(ToolRefusal, refused.body, 'a refusal').message}`)
  const untouched = await callTool(`${stage.metrics.resource}/api/v1/query?query=up`, metricsToken)
  expectThat(untouched.status === 200, 'the token of the metrics service to live on', untouched)
  tell.came('its token of the metrics service still works')
}

/** The edit back asks for more than is in force: nobody has it until an owner accepts. Answers the revision's id. */
export async function widen(stage: Stage, tell: Tell): Promise<string> {
  const { agent, owner } = stage
  tell.did(`somebody puts ticket:comment back into ${ROLE}`)
  edit(stage, NARROW, WIDE)
  const { value: revision } = await until(
    async () => {
      const { items } = expectShape(Revisions, (await owner.get('/revisions')).body, 'the revisions')
      return items.find(({ waiting }) => waiting > 0) ?? null
    },
    { withinMs: IN_FORCE_MS, expected: 'the edit to wait for its owner', everyMs: 50 },
  )
  const waiting = revision.widenings.filter(({ status }) => status === 'waiting')
  tell.came('nothing changed yet: this waits')
  for (const { diff, needs } of waiting) {
    const who = needs.map(({ as, of, eligible }) => `${as} ${of} (${eligible.join(', ')})`)
    tell.shown([...diff, `for: ${who.join(', and ')}`].join('\n'))
  }
  tell.did(`${agent.name} asks for ticket:comment meanwhile`)
  const given = { tool: 'tickets', scopes: ['ticket:comment'], details: { queue: ['incidents'] }, reason: 'INC-1' }
  const { error } = expectShape(Refused, await agent.call('request_access', given), 'a refusal')
  expectThat(error.code === 'scope_not_in_manifest', 'what waits not to be in force', error)
  tell.came(`${error.code}: ${error.message}`)
  return revision.id
}

/** An owner who was in force before the edit says yes. */
export async function accept({ owner }: Stage, tell: Tell, revision: string): Promise<void> {
  tell.did(`${owner.name} accepts ${revision}`)
  const reply = await owner.post(`/revisions/${revision}/accept`)
  expectThat(reply.status === 200, 'the acceptance to be taken', reply)
  const { settled, others } = expectShape(Settled, reply.body, 'what was accepted')
  expectThat(
    settled.length > 0 && settled.every(({ status }) => status === 'accepted') && others.length === 0,
    'all that waited to be accepted',
    reply.body,
  )
  tell.came('in force')
}
