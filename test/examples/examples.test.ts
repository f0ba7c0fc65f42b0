import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type ExampleStage, fromReadme, runScript, startExampleStage } from './example-stage.ts'

let stage: ExampleStage

beforeAll(async () => {
  stage = await startExampleStage()
})
afterAll(() => stage?.close())

const keyOf = (agent: string) => stage.broker.agents[agent]?.keyPath ?? ''
const asAgent = (agent = 'triage-bot') => ({
  HALLPASS_URL: stage.broker.url,
  HALLPASS_AGENT: agent,
  HALLPASS_AGENT_KEY: keyOf(agent),
})
const noToken = /eyJ[A-Za-z0-9_-]{10,}|hp_[a-z]+_[A-Za-z0-9]/

// One broker for all, and a grant that is live is used again: so the order is part of the tests.

describe('the MCP client', () => {
  const script = () =>
    fromReadme('mcp-client', 0, {
      'http://127.0.0.1:8420/mcp': stage.broker.running.address.mcpUrl,
      '~/.hallpass/triage-bot.pem': keyOf('triage-bot'),
    })

  it('signs in from a URL and a key, is granted, holds a token and gives it back, as its README says (P5)', async () => {
    const [ran] = await Promise.all([runScript(script()), stage.approveNext()])
    expect(ran).toMatchObject({ code: 0, stderr: '' })
    const lines = ran.stdout.trim().split('\n')
    expect(lines).toEqual([
      'may ask for metrics: metrics:read',
      'may ask for tickets: ticket:comment, ticket:read',
      expect.stringMatching(/^waiting for .*sre-lead@example\.com.* \("[a-z]+ [a-z]+ [a-z]+"\): http/),
      expect.stringMatching(/^granted until \d{4}-/),
      expect.stringMatching(new RegExp(`^holds a token for ${stage.deskUrl}/? for \\d+ s$`)),
      expect.stringMatching(/^given back: revok(ing|ed), receipt rvk_[0-9a-f]+$/),
    ])
    expect(ran.stdout).not.toMatch(noToken)
  })

  it('says why it is refused, and which edit would allow it (P8)', async () => {
    const ran = await runScript(script().replace('ticket:read', 'ticket:close'))
    expect(ran.code).toBe(2)
    expect(ran.stderr).toMatch(/^scope_not_in_manifest: /)
    expect(ran.stderr).toContain('scopes: [ticket:close]')
  })
})

describe('the shell agent', () => {
  const script = () =>
    fromReadme('shell-agent', 0, {
      'http://127.0.0.1:8420': stage.broker.url,
      '~/.hallpass/triage-bot.pem': keyOf('triage-bot'),
      'http://127.0.0.1:8430': stage.deskUrl,
    })

  it('waits for its owner, then reads and comments, as its README says (P2)', async () => {
    const [ran] = await Promise.all([runScript(script()), stage.approveNext()])
    expect(ran).toMatchObject({ code: 0 })
    const [tickets, comment] = ran.stdout.trim().split('\n')
    expect(JSON.parse(tickets ?? '').tickets.map(({ id }: { id: string }) => id)).toEqual(['INC-1', 'INC-2'])
    expect(JSON.parse(comment ?? '')).toEqual({ ticket: 'INC-1', comments: 1 })
    expect(ran.stderr).toContain('An owner has to say yes')
    expect(ran.stdout + ran.stderr).not.toMatch(noToken)
  })

  it('uses the grant that it still holds, and asks nobody twice', async () => {
    const ran = await runScript(script())
    expect(ran).toMatchObject({ code: 0, stderr: '' })
    expect(ran.stdout).toContain('"comments":2')
  })

  it('needs no more than the two lines that its README shows for a job', async () => {
    const [ran] = await Promise.all([
      runScript(fromReadme('shell-agent', 1), { ...asAgent(), TICKETS_URL: stage.deskUrl }),
      stage.approveNext(),
    ])
    expect(ran.code).toBe(0)
    expect(ran.stdout).toContain('Checkout answers 502')
  })

  it('ends with the refusal of an agent that has no such access (P8)', async () => {
    const ran = await runScript(
      script().replace('=triage-bot ', '=report-bot ').replace(keyOf('triage-bot'), keyOf('report-bot')),
    )
    expect(ran).toMatchObject({ code: 2, stdout: '' })
    expect(ran.stderr).toContain('scope_not_in_manifest')
  })
})

describe('the Hono tool', () => {
  it('answers what its README shows, within the details of the credential (P2, S9)', async () => {
    const ask =
      "hallpass token tickets --scope ticket:read,ticket:comment --detail queue=incidents --reason 'INC-1: checkout answers 502'"
    // The shell agent's grant is still live: nobody is asked.
    const calls = fromReadme('hono-tool', 1, { 'http://127.0.0.1:8430': stage.deskUrl })
    const ran = await runScript(
      `set -e; CREDENTIAL=$(${ask})\n${calls.replaceAll('curl ', 'curl -sS -w "\\n" ')}`,
      asAgent(),
    )
    expect(ran).toMatchObject({ code: 0, stderr: '' })
    const [tickets, comment] = ran.stdout.trim().split('\n')
    expect(tickets).toContain('INC-2')
    expect(comment).toMatch(/^\{"ticket":"INC-1","comments":\d+\}$/)
  })

  it('refuses whoever comes without a credential, and says what to do (P8)', async () => {
    const response = await fetch(`${stage.deskUrl}/tickets`)
    expect(response.status).toBe(401)
    expect(response.headers.get('www-authenticate')).toContain('Bearer')
    expect(await response.json()).toMatchObject({ code: 'unauthenticated' })
  })
})
