// What a broker says by itself reaches a client on stdio, in the words of its era, and goes on after a restart; so do tasks,
// links that a client shows, and cancellation.

import { readFileSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { AGENT, type BridgeStage, setBridgeStage } from '../cli/bridge-stage.ts'
import { rawBridge } from '../cli/raw-bridge.ts'

let stage: BridgeStage
beforeAll(async () => {
  stage = await setBridgeStage()
}, 120_000)
afterAll(() => stage.close())

const open: ReturnType<typeof rawBridge>[] = []
afterEach(async () => {
  for (const client of open.splice(0)) {
    client.child.stdin?.end()
    await client.ended
  }
})

function start() {
  const client = rawBridge(stage.env)
  open.push(client)
  const say = (message: object) => client.send(JSON.stringify({ jsonrpc: '2.0', ...message }))
  return { ...client, say }
}

let asks = 0
const ask = (scope: string) => ({ tool: 'desk', scopes: [scope], reason: 'INC-1', durationSeconds: 2000 + ++asks })
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
const soon = { timeout: 20_000 }

describe('a client of 2025-11-25', () => {
  const begin = async (capabilities: object = {}) => {
    const client = start()
    const params = { protocolVersion: '2025-11-25', capabilities, clientInfo: { name: 'raw', version: '1' } }
    client.say({ id: 'i', method: 'initialize', params })
    expect((await client.answer('i')).result).toMatchObject({
      protocolVersion: '2025-11-25',
      capabilities: { tools: { listChanged: true }, extensions: expect.anything() },
    })
    client.say({ method: 'notifications/initialized' })
    return client
  }

  test('hears of what it watches, before a restart and after it, and is told to look again (P9)', async () => {
    const client = await begin()
    client.call(1, 'request_access', ask('desk:read'))
    const { request } = (await client.answer(1)).result.structuredContent
    const uri = `hallpass://requests/${request.id}`
    client.say({ id: 2, method: 'resources/subscribe', params: { uri } })
    expect((await client.answer(2)).result).toEqual({})
    await stage.broker.stop()
    await stage.broker.start()
    await expect.poll(() => client.told('notifications/tools/list_changed').length, soon).toBeGreaterThan(0)
    await expect.poll(() => client.told('notifications/resources/updated').length, soon).toBeGreaterThan(0)
    const before = client.told('notifications/resources/updated').length
    await stage.approve(request.id)
    await expect.poll(() => client.told('notifications/resources/updated').length, soon).toBeGreaterThan(before)
    // The resource says where the credential lies, as a tool would.
    client.say({ id: 3, method: 'resources/read', params: { uri } })
    const { grant } = JSON.parse((await client.answer(3)).result.contents[0].text)
    expect(await stage.curl(grant.use.headerFile)).toMatchObject({ status: 200 })
  }, 90_000)

  test('shows a link that the broker asks it to show; its yes approves nothing (P4)', async () => {
    const client = await begin({ elicitation: { url: {} } })
    client.call(1, 'request_access', ask('desk:read'))
    await expect.poll(() => client.told('elicitation/create').length, soon).toBe(1)
    const [{ id, params }] = client.told('elicitation/create')
    expect(params).toMatchObject({ mode: 'url', url: expect.stringContaining(stage.broker.issuer) })
    client.say({ id, result: { action: 'accept' } })
    expect((await client.answer(1)).result.structuredContent).toMatchObject({ status: 'pending' })
  })
})

describe('a client of 2026-07-28', () => {
  const VERSION = '2026-07-28'
  const TASKS = { extensions: { 'io.modelcontextprotocol/tasks': {} } }
  const begin = (capabilities: object = {}) => {
    const client = start()
    const _meta = {
      'io.modelcontextprotocol/protocolVersion': VERSION,
      'io.modelcontextprotocol/clientInfo': { name: 'raw', version: '1' },
      'io.modelcontextprotocol/clientCapabilities': capabilities,
    }
    return {
      ...client,
      ask: (id: unknown, method: string, params: object = {}) =>
        client.say({ id, method, params: { ...params, _meta } }),
    }
  }
  const GRANTS = { notifications: { toolsListChanged: true, resourcesListChanged: true } }
  const CHANGED = 'notifications/resources/list_changed'

  test('listens on one stream that outlives the broker, and ends when it says so (P9)', async () => {
    const client = begin()
    client.ask('l', 'subscriptions/listen', GRANTS)
    await expect.poll(() => client.told('notifications/subscriptions/acknowledged').length, soon).toBe(1)
    client.ask(1, 'tools/call', { name: 'request_access', arguments: ask('desk:comment') })
    await expect.poll(() => client.told(CHANGED).length, soon).toBeGreaterThan(0)
    await stage.broker.kill()
    await stage.broker.start()
    await expect.poll(() => client.told('notifications/tools/list_changed').length, soon).toBeGreaterThan(0)
    const before = client.told(CHANGED).length
    client.ask(2, 'tools/call', { name: 'request_access', arguments: ask('desk:comment') })
    await expect.poll(() => client.told(CHANGED).length, soon).toBeGreaterThan(before)
    for (const { params } of client.told(CHANGED))
      expect(params._meta).toMatchObject({ 'io.modelcontextprotocol/subscriptionId': 'l' })
    expect(client.told('notifications/subscriptions/acknowledged').length).toBe(1)
    client.say({ method: 'notifications/cancelled', params: { requestId: 'l' } })
    await sleep(300)
    const last = client.told(CHANGED).length
    client.ask(3, 'tools/call', { name: 'request_access', arguments: ask('desk:comment') })
    await client.answer(3)
    await sleep(1000)
    expect(client.told(CHANGED).length).toBe(last)
    expect(client.lines().filter((line) => JSON.parse(line).id === 'l')).toEqual([])
  }, 90_000)

  test('polls a task over a restart to a grant whose credential lies in a file (P7, P9)', async () => {
    const client = begin(TASKS)
    client.ask(1, 'tools/call', { name: 'request_access', arguments: ask('desk:read') })
    const { resultType, taskId } = (await client.answer(1)).result
    expect(resultType).toBe('task')
    await stage.broker.stop()
    await stage.broker.start()
    client.ask(2, 'tasks/get', { taskId })
    expect((await client.answer(2)).result).toMatchObject({ status: 'working' })
    await stage.approve(taskId)
    client.ask(3, 'tasks/get', { taskId })
    const { status, result } = (await client.answer(3)).result
    expect(status).toBe('completed')
    const { grant } = result.structuredContent
    expect(await stage.curl(grant.use.headerFile)).toMatchObject({ status: 200 })
    expect(result.content[0].text).toContain(grant.use.headerFile)
    const token = readFileSync(grant.use.tokenFile, 'utf8')
    client.child.stdin?.end()
    await client.ended
    // It was asked for here: it goes with its client.
    expect(await stage.isActive(token)).toBe(false)
  }, 90_000)

  test('a call that it cancels is not answered, and no longer waits at the broker', async () => {
    const client = begin()
    client.ask(1, 'tools/call', { name: 'request_access', arguments: ask('desk:read') })
    const { request } = (await client.answer(1)).result.structuredContent
    client.ask(2, 'tools/call', { name: 'access_status', arguments: { requestId: request.id, waitSeconds: 50 } })
    await sleep(500)
    client.say({ method: 'notifications/cancelled', params: { requestId: 2 } })
    client.ask(3, 'tools/call', { name: 'list_access', arguments: {} })
    expect((await client.answer(3)).result.structuredContent).toMatchObject({ agent: AGENT })
    await stage.approve(request.id)
    await sleep(500)
    expect(client.lines().some((line) => JSON.parse(line).id === 2)).toBe(false)
  })

  test('is told of a session that an admin took, by going on with a new one (S11)', async () => {
    const client = begin()
    client.ask(1, 'tools/call', { name: 'list_access', arguments: {} })
    await client.answer(1)
    const sessions = JSON.parse(await stage.broker.hallpass('session', 'list', '--agent', AGENT, '--json'))
    for (const { id } of sessions) await stage.broker.hallpass('session', 'revoke', id, '--reason', 'x').catch(() => '')
    client.ask(2, 'tools/call', { name: 'list_access', arguments: {} })
    expect((await client.answer(2)).result).toMatchObject({ structuredContent: { agent: AGENT } })
  })
})
