// The link of a request, shown once at a client that declared it can: whatever comes back, only the store says how it stands.

import { Client as ClientOfOne } from '@modelcontextprotocol/sdk/client/index.js'
import { StreamableHTTPClientTransport as TransportOfOne } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import { ElicitRequestSchema } from '@modelcontextprotocol/sdk/types.js'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { LINKS, modern, TASKS } from './modern.ts'
import { MODERN, type Served, serveMcp } from './support.ts'

const ASK = { tool: 'tickets', scopes: ['ticket:read'], reason: 'INC-1', details: { queue: ['incidents'] } }

let served: Served
let token: string
beforeEach(async () => {
  served = await serveMcp()
  token = (await served.session('triage-bot')).token
})
afterEach(() => served.close())

const ask = (more: object = {}, capabilities: object = LINKS) =>
  modern(served, token, 'tools/call', { name: 'request_access', arguments: ASK, ...more }, capabilities)
const answer = (action: string) => ({ owner: { action } })

/** The state of a link that was just shown. */
async function shown(): Promise<string> {
  const { result } = await ask()
  expect(result).toMatchObject({ resultType: 'input_required' })
  return String(result?.requestState)
}
const answers = async () =>
  (await served.trail()).filter(({ kind }) => kind === 'request.shown').map(({ body }) => body.answer)

describe('a client of 2026-07-28 that shows links', () => {
  test('is asked to show it once, with nothing in the URL that signs anybody in (P4, S20)', async () => {
    const { result } = await ask()
    expect(result).toEqual({
      resultType: 'input_required',
      inputRequests: {
        owner: {
          method: 'elicitation/create',
          params: {
            mode: 'url',
            url: expect.stringMatching(new RegExp(`^${served.issuer}/requests/req_[0-9a-f]{32}$`)),
            message: expect.stringContaining('Only an owner can decide'),
          },
        },
      },
      requestState: expect.stringMatching(/^req_[0-9a-f]{32}\.[A-Za-z0-9_-]{43}$/),
      _meta: expect.anything(),
    })
    expect((await ask()).result).toMatchObject({ structuredContent: { status: 'pending' } })
  })

  test('no answer approves anything: it is still pending, and on the trail (P4)', async () => {
    const actions = ['accept', 'decline', 'cancel']
    for (const [i, action] of actions.entries()) {
      const given = { name: 'request_access', arguments: { ...ASK, durationSeconds: 60 + i } }
      const { result } = await ask(given)
      const { requestState } = result ?? {}
      const back = await ask({ ...given, requestState, inputResponses: answer(action) })
      expect(back.result).toMatchObject({ resultType: 'complete', structuredContent: { status: 'pending' } })
    }
    expect(await answers()).toEqual(actions)
  })

  test('an owner who decided meanwhile is what counts, whatever was answered', async () => {
    const requestState = await shown()
    const { grant } = await served.approve(requestState.split('.')[0]!)
    const { result } = await ask({ requestState, inputResponses: answer('decline') })
    expect(result).toMatchObject({ structuredContent: { status: 'granted', grant: { id: grant.id } } })
  })

  test('a denial, and the end of the request, come back as results that help (P8)', async () => {
    const denied = await shown()
    await served.deny(denied.split('.')[0]!, 'no')
    expect((await ask({ requestState: denied, inputResponses: answer('accept') })).result).toMatchObject({
      isError: true,
      structuredContent: { error: { code: 'approval_denied' } },
    })
    const expired = await shown()
    served.clock.advance(3600)
    token = (await served.session('triage-bot')).token
    expect((await ask({ requestState: expired, inputResponses: answer('accept') })).result).toMatchObject({
      isError: true,
      structuredContent: { error: { code: 'request_expired' } },
    })
  })

  test('coming back with no answer, or one that is none, is no answer', async () => {
    const { result } = await ask({ requestState: await shown() })
    expect(result).toMatchObject({ structuredContent: { status: 'pending' } })
    expect(await answers()).toEqual(['none'])
  })

  test('the link is a task where the client has those too', async () => {
    expect((await ask({}, { ...LINKS, ...TASKS })).result).toMatchObject({ resultType: 'task' })
  })

  test('coming back from a link with tasks declared makes it one', async () => {
    const requestState = await shown()
    const { result } = await ask({ requestState, inputResponses: answer('accept') }, { ...LINKS, ...TASKS })
    expect(result).toMatchObject({ resultType: 'task', taskId: requestState.split('.')[0] })
    expect(result).not.toHaveProperty('requestState')
  })
})

test.each([[{}], [{ elicitation: {} }], [{ elicitation: { form: {} } }], [{ sampling: {} }]])(
  'a client that declared %j is sent no link to show',
  async (capabilities) => {
    const { result } = await ask({}, capabilities)
    expect(result).toMatchObject({ resultType: 'complete', structuredContent: { status: 'pending' } })
  },
)

test('the official client shows it once, comes back by itself and reads that it is pending', async () => {
  const client = await served.client(token, { ...MODERN, capabilities: { elicitation: { url: {} } } })
  const links: string[] = []
  client.setRequestHandler('elicitation/create', async ({ params }) => {
    if (params.mode === 'url') links.push(params.url)
    return { action: 'accept' }
  })
  const call = () => client.callTool({ name: 'request_access', arguments: ASK })
  const first = await call()
  expect(first.structuredContent).toMatchObject({ status: 'pending', approveUrl: links[0] })
  expect((await call()).structuredContent).toEqual(first.structuredContent)
  expect(links).toHaveLength(1)
  expect(await answers()).toEqual(['accept'])
})

describe('a client of 2025-11-25 with a session that shows links', () => {
  type Asked = { readonly url: string; readonly message: string }
  type Agent = { call(more?: object): Promise<unknown>; readonly links: Asked[] }
  type Answers = (asked: Asked) => Promise<{ action: 'accept' | 'decline' | 'cancel' }>

  const CLIENTS: Record<string, (answers: Answers) => Promise<Agent>> = {
    'the official client': async (answers) => {
      const links: Asked[] = []
      const client = await served.client(token, { capabilities: { elicitation: { url: {} } } })
      client.setRequestHandler('elicitation/create', ({ params }) => {
        if (params.mode !== 'url') throw new Error('no form is asked for')
        links.push(params)
        return answers(params)
      })
      return {
        links,
        call: async (more = {}) =>
          (await client.callTool({ name: 'request_access', arguments: { ...ASK, ...more } })).structuredContent,
      }
    },
    'the 1.x SDK': async (answers) => {
      const links: Asked[] = []
      const client = new ClientOfOne({ name: 'test', version: '1.0.0' }, { capabilities: { elicitation: { url: {} } } })
      client.setRequestHandler(ElicitRequestSchema, ({ params }) => {
        if (params.mode !== 'url') throw new Error('no form is asked for')
        links.push(params)
        return answers(params)
      })
      const requestInit = { headers: { Authorization: `Bearer ${token}` } }
      await client.connect(new TransportOfOne(new URL(served.url), { requestInit }))
      return {
        links,
        call: async (more = {}) =>
          (await client.callTool({ name: 'request_access', arguments: { ...ASK, ...more } })).structuredContent,
      }
    },
  }

  describe.each(Object.entries(CLIENTS))('%s', (_name, connect) => {
    test('no answer approves anything; each request is shown once (P4)', async () => {
      const actions = ['accept', 'decline', 'cancel'] as const
      const left = [...actions]
      const agent = await connect(async () => ({ action: left.shift() ?? 'cancel' }))
      for (const [i] of actions.entries()) {
        expect(await agent.call({ durationSeconds: 60 + i })).toMatchObject({ status: 'pending' })
        const again = await agent.call({ durationSeconds: 60 + i })
        expect(again).toMatchObject({ status: 'pending', approveUrl: agent.links[i]?.url })
      }
      expect(agent.links).toHaveLength(actions.length)
      expect(agent.links[0]?.message).toContain('Only an owner')
      expect(await answers()).toEqual(actions)
    })

    test('an owner who decides while it is shown ends the wait', async () => {
      const agent = await connect(async ({ url }) => {
        await served.approve(url.split('/').at(-1) ?? '')
        return new Promise(() => {})
      })
      expect(await agent.call()).toMatchObject({ status: 'granted' })
      expect(await answers()).toEqual(['none'])
    })

    test('one that cannot show it after all is told that it is pending', async () => {
      const agent = await connect(async () => {
        throw new Error('no browser here')
      })
      expect(await agent.call()).toMatchObject({ status: 'pending' })
    })
  })
})
