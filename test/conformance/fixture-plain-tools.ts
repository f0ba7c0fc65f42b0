// The suite's tools that answer by themselves: every kind of content, an error, progress, logging.

import { setTimeout as pause } from 'node:timers/promises'
import type { CallToolResult } from '@modelcontextprotocol/server'
import type { ToolFixture } from './extend-with-fixtures.ts'

/** One red pixel. */
export const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=='
/** No samples. */
const WAV = 'UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA='

const STEP_MS = 50

type Content = CallToolResult['content'][number]

export const text = (words: string): { type: 'text'; text: string } => ({ type: 'text', text: words })

const says = (name: string, description: string, ...content: Content[]): ToolFixture => ({
  tool: { name, description, inputSchema: { type: 'object' } },
  call: async () => ({ content }),
})

export const PLAIN_TOOLS: readonly ToolFixture[] = [
  says('test_simple_text', 'Answers with text', text('This is a simple text response for testing.')),
  says('test_image_content', 'Answers with an image', { type: 'image', data: PNG, mimeType: 'image/png' }),
  says('test_audio_content', 'Answers with audio', { type: 'audio', data: WAV, mimeType: 'audio/wav' }),
  says('test_embedded_resource', 'Answers with a resource', {
    type: 'resource',
    resource: {
      uri: 'test://embedded-resource',
      mimeType: 'text/plain',
      text: 'This is an embedded resource content.',
    },
  }),
  says(
    'test_multiple_content_types',
    'Answers with text, an image and a resource',
    text('Multiple content types test:'),
    { type: 'image', data: PNG, mimeType: 'image/png' },
    {
      type: 'resource',
      resource: {
        uri: 'test://mixed-content-resource',
        mimeType: 'application/json',
        text: '{"test":"data","value":123}',
      },
    },
  ),
  {
    tool: { name: 'test_error_handling', description: 'Always fails', inputSchema: { type: 'object' } },
    call: async () => ({
      isError: true,
      content: [text('This tool intentionally returns an error for testing')],
    }),
  },
  {
    tool: { name: 'test_tool_with_progress', description: 'Tells how far it is', inputSchema: { type: 'object' } },
    async call(_given, { mcpReq }) {
      const token = mcpReq._meta?.progressToken
      for (const progress of [0, 50, 100]) {
        if (token !== undefined)
          await mcpReq.notify({
            method: 'notifications/progress',
            params: { progressToken: token, progress, total: 100 },
          })
        await pause(STEP_MS)
      }
      return { content: [text('Done.')] }
    },
  },
  logging('test_tool_with_logging'),
  logging('test_logging_tool'),
  {
    tool: {
      name: 'test_custom_header',
      description: 'Takes an argument that is a header as well',
      inputSchema: {
        type: 'object',
        properties: { region: { type: 'string', 'x-mcp-header': 'Region' } },
      },
    },
    call: async (given) => ({ content: [text(String(given.region))] }),
  },
]

/** Through the SDK's own logger, which says nothing that the client did not ask to hear. */
function logging(name: string): ToolFixture {
  return {
    tool: { name, description: 'Logs what it does', inputSchema: { type: 'object' } },
    async call(_given, { mcpReq }) {
      for (const line of ['Tool execution started', 'Tool processing data', 'Tool execution completed']) {
        await mcpReq.log('info', line)
        await pause(STEP_MS)
      }
      return { content: [text('Done.')] }
    },
  }
}
