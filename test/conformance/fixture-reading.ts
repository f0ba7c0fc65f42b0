// The suite's resources and prompts.

import { acceptedContent, inputRequired, type ReadResourceResult } from '@modelcontextprotocol/server'
import type { PromptFixture } from './extend-with-fixtures.ts'
import { PNG, text } from './fixture-plain-tools.ts'

export const RESOURCES = [
  { uri: 'test://static-text', name: 'static-text', description: 'Text', mimeType: 'text/plain' },
  { uri: 'test://static-binary', name: 'static-binary', description: 'An image', mimeType: 'image/png' },
  { uri: 'test://watched-resource', name: 'watched-resource', description: 'To watch', mimeType: 'text/plain' },
]

export const TEMPLATES = [
  {
    uriTemplate: 'test://template/{id}/data',
    name: 'template',
    description: 'Data by id',
    mimeType: 'application/json',
  },
]

const TEMPLATE = /^test:\/\/template\/([^/]+)\/data$/

/** Null where it is none of the suite's. */
export function readResource(uri: string): ReadResourceResult | null {
  const [, id] = TEMPLATE.exec(uri) ?? []
  if (id !== undefined) {
    const data = { id, templateTest: true, data: `Data for ID: ${id}` }
    return { contents: [{ uri, mimeType: 'application/json', text: JSON.stringify(data) }] }
  }
  switch (uri) {
    case 'test://static-text':
      return {
        contents: [{ uri, mimeType: 'text/plain', text: 'This is the content of the static text resource.' }],
      }
    case 'test://static-binary':
      return { contents: [{ uri, mimeType: 'image/png', blob: PNG }] }
    case 'test://watched-resource':
      return { contents: [{ uri, mimeType: 'text/plain', text: 'Nothing has changed.' }] }
    default:
      return null
  }
}

const required = (name: string) => ({ name, required: true })

export const PROMPTS: readonly PromptFixture[] = [
  {
    prompt: { name: 'test_simple_prompt', description: 'Text' },
    get: async () => ({ messages: [{ role: 'user', content: text('This is a simple prompt for testing.') }] }),
  },
  {
    prompt: {
      name: 'test_prompt_with_arguments',
      description: 'Repeats its arguments',
      arguments: [required('arg1'), required('arg2')],
    },
    get: async ({ arg1, arg2 }) => ({
      messages: [{ role: 'user', content: text(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`) }],
    }),
  },
  {
    prompt: {
      name: 'test_prompt_with_embedded_resource',
      description: 'Holds a resource',
      arguments: [required('resourceUri')],
    },
    get: async ({ resourceUri }) => ({
      messages: [
        {
          role: 'user',
          content: {
            type: 'resource',
            resource: {
              uri: resourceUri ?? '',
              mimeType: 'text/plain',
              text: 'Embedded resource content for testing.',
            },
          },
        },
        { role: 'user', content: text('Please process the embedded resource above.') },
      ],
    }),
  },
  {
    prompt: { name: 'test_prompt_with_image', description: 'Holds an image' },
    get: async () => ({
      messages: [
        { role: 'user', content: { type: 'image', data: PNG, mimeType: 'image/png' } },
        { role: 'user', content: text('Please analyze the image above.') },
      ],
    }),
  },
  {
    prompt: { name: 'test_input_required_result_prompt', description: 'Asks for its context' },
    get: async (_given, { mcpReq }) => {
      const answer = acceptedContent(mcpReq.inputResponses, 'user_context')
      if (typeof answer?.context === 'string')
        return { messages: [{ role: 'user', content: text(`In this context: ${answer.context}`) }] }
      return inputRequired({
        inputRequests: {
          user_context: inputRequired.elicit({
            message: 'What context should the prompt use?',
            requestedSchema: { type: 'object', properties: { context: { type: 'string' } }, required: ['context'] },
          }),
        },
      })
    },
  },
]
