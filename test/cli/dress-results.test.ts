// What the stdio bridge makes of a grant whose tools are called on the very server that it bridges to.

import { expect, test } from 'vitest'
import { createDress } from '../../src/commands/bridge/dress-results.ts'
import type { KeptGrants } from '../../src/commands/bridge/kept-grants.ts'

const redeemed: string[] = []
const kept: KeptGrants = {
  async keep({ id }) {
    redeemed.push(id)
    return { headerFile: '/run/header', tokenFile: '/run/token' }
  },
  find: () => null,
  own: () => {},
  drop: () => {},
  close: async () => {},
}
const asking = {
  jsonrpc: '2.0',
  id: 1,
  method: 'tools/call',
  params: { name: 'request_access', arguments: {} },
} as const

const dressed = async (use: { resource: string; how: string; tools: string[] }) => {
  redeemed.length = 0
  const grant = { id: 'grt_1', tool: 'mcp', delivery: 'proxy', use }
  const result = { content: [], structuredContent: { status: 'granted', grant } }
  return createDress(kept).dress({ jsonrpc: '2.0', id: 1, result }, asking)
}

test('nothing is redeemed for tools of the broker’s own MCP server (P7)', async () => {
  const use = { resource: 'https://hallpass.example.com/mcp', how: 'List your tools again', tools: ['mcp__read'] }
  expect(await dressed(use)).toMatchObject({ result: { structuredContent: { grant: { use } } } })
  expect(redeemed).toEqual([])
})

test('a tool that is called over HTTP as well is told both ways, whatever it is called', async () => {
  const use = { resource: 'https://hallpass.example.com/tools/mcp', how: 'List', tools: ['mcp__read'] }
  expect(await dressed(use)).toMatchObject({
    result: {
      structuredContent: {
        grant: {
          use: {
            how: expect.stringMatching(/call mcp__read\. Or over HTTP: Call https:.*\/tools\/mcp with the header/),
            headerFile: '/run/header',
          },
        },
      },
    },
  })
  expect(redeemed).toEqual(['grt_1'])
})
