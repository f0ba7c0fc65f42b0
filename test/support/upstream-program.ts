// A program that speaks MCP on stdio, as an operator's configuration names one: it says what it was given in its environment.

import { Server } from '@modelcontextprotocol/server'
import { StdioServerTransport } from '@modelcontextprotocol/server/stdio'

const server = new Server({ name: 'notes', version: '1.0.0' }, { capabilities: { tools: {} } })
server.setRequestHandler('tools/list', () => ({
  tools: [{ name: 'environment', description: 'Names what it was given.', inputSchema: { type: 'object' } }],
}))
server.setRequestHandler('tools/call', () => {
  const structuredContent = { pid: process.pid, env: { ...process.env } }
  return { content: [{ type: 'text', text: JSON.stringify(structuredContent) }], structuredContent }
})
await server.connect(new StdioServerTransport())
