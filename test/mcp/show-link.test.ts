// The link of a request, shown once at a client that declared it can: whatever comes back, only the store says how it stands.

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

  test.each(['accept', 'decline', 'cancel'])(
    '"%s" approves nothing: it is still pending, and on the trail (P4)',
    async (action) => {
      const requestState = await shown()
      const { result } = await ask({ requestState, inputResponses: answer(action) })
      expect(result).toMatchObject({ resultType: 'complete', structuredContent: { status: 'pending' } })
      expect(await answers()).toEqual([action])
    },
  )

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
