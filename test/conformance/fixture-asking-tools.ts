// The suite's tools that ask their client first: each is written once, for `input_required` of 2026-07-28, and the SDK asks
// a client of 2025 for them.

import { randomBytes } from 'node:crypto'
import {
  acceptedContent,
  CLIENT_CAPABILITIES_META_KEY,
  type ClientCapabilities,
  createRequestStateCodec,
  inputRequired,
  inputResponse,
  ProtocolError,
  ProtocolErrorCode,
  type ServerContext,
} from '@modelcontextprotocol/server'
import type { ToolFixture } from './extend-with-fixtures.ts'
import { text } from './fixture-plain-tools.ts'

type Schema = Parameters<typeof inputRequired.elicit>[0]['requestedSchema']
type InputSchema = ToolFixture['tool']['inputSchema']

const ask = (message: string, requestedSchema: Schema) => inputRequired.elicit({ message, requestedSchema })
const askFor = (message: string, field: string) =>
  ask(message, { type: 'object', properties: { [field]: { type: 'string' } }, required: [field] })
const sample = (words: string, maxTokens = 100) =>
  inputRequired.createMessage({ messages: [{ role: 'user', content: text(words) }], maxTokens })

const states = createRequestStateCodec<{ step: number }>({ key: randomBytes(32) })

/** The step that the state tells; 0 where there is none. Whatever was tampered with is refused. */
async function stepOf(ctx: ServerContext): Promise<number> {
  const state = ctx.mcpReq.requestState<string>()
  if (state === undefined) return 0
  try {
    return (await states.verify(state, ctx)).step
  } catch {
    throw new ProtocolError(ProtocolErrorCode.InvalidParams, 'Invalid or expired requestState')
  }
}

const done = (words: string) => ({ content: [text(words)] })

const fixture = (
  name: string,
  description: string,
  call: ToolFixture['call'],
  properties: NonNullable<InputSchema['properties']> = {},
): ToolFixture => ({ tool: { name, description, inputSchema: { type: 'object', properties } }, call })

/** Asks once by a form and repeats what came back. */
const form = (
  name: string,
  says: string,
  question: (given: Readonly<Record<string, unknown>>) => [string, Schema],
  properties: NonNullable<InputSchema['properties']> = {},
) =>
  fixture(
    name,
    'Asks its client by a form',
    async (given, { mcpReq }) => {
      const answer = inputResponse(mcpReq.inputResponses, 'form')
      return answer.kind === 'elicit'
        ? done(`${says}: action=${answer.action}, content=${JSON.stringify(answer.content ?? {})}`)
        : inputRequired({ inputRequests: { form: ask(...question(given)) } })
    },
    properties,
  )

const titled = (...titles: string[]) => titles.map((title, index) => ({ const: `value${index + 1}`, title }))
const options = ['option1', 'option2', 'option3']

/** What an envelope of 2026-07-28 declares that this client can do. */
const declared = ({ mcpReq }: ServerContext): ClientCapabilities =>
  (mcpReq.envelope as { readonly [key: string]: ClientCapabilities } | undefined)?.[CLIENT_CAPABILITIES_META_KEY] ?? {}

const name = () => askFor('What is your name?', 'name')

export const ASKING_TOOLS: readonly ToolFixture[] = [
  form(
    'test_elicitation',
    'User response',
    ({ message }) => [
      String(message),
      {
        type: 'object',
        properties: {
          username: { type: 'string', description: "User's response" },
          email: { type: 'string', description: "User's email address" },
        },
        required: ['username', 'email'],
      },
    ],
    { message: { type: 'string' } },
  ),
  form('test_elicitation_sep1034_defaults', 'Elicitation completed', () => [
    'Please review and update the form fields with defaults',
    {
      type: 'object',
      properties: {
        name: { type: 'string', default: 'John Doe' },
        age: { type: 'integer', default: 30 },
        score: { type: 'number', default: 95.5 },
        status: { type: 'string', enum: ['active', 'inactive', 'pending'], default: 'active' },
        verified: { type: 'boolean', default: true },
      },
    },
  ]),
  form('test_elicitation_sep1330_enums', 'Elicitation completed', () => [
    'Please select options from the enum fields',
    {
      type: 'object',
      properties: {
        untitledSingle: { type: 'string', enum: options },
        titledSingle: { type: 'string', oneOf: titled('First Option', 'Second Option', 'Third Option') },
        legacyEnum: {
          type: 'string',
          enum: ['opt1', 'opt2', 'opt3'],
          enumNames: ['Option One', 'Option Two', 'Option Three'],
        },
        untitledMulti: { type: 'array', items: { type: 'string', enum: options } },
        titledMulti: { type: 'array', items: { anyOf: titled('First Choice', 'Second Choice', 'Third Choice') } },
      },
    },
  ]),
  fixture(
    'test_sampling',
    "Asks its client's model",
    async ({ prompt }, { mcpReq }) => {
      const answer = inputResponse(mcpReq.inputResponses, 'model')
      if (answer.kind !== 'sampling') return inputRequired({ inputRequests: { model: sample(String(prompt)) } })
      return done(`LLM response: ${JSON.stringify(answer.result.content)}`)
    },
    { prompt: { type: 'string' } },
  ),
  fixture('test_missing_capability', 'Needs sampling', async () =>
    inputRequired({ inputRequests: { model: sample('Is anybody there?') } }),
  ),
  fixture('test_streaming_elicitation', 'Asks on a stream', async () =>
    inputRequired({ inputRequests: { name: name() } }),
  ),

  fixture('test_input_required_result_elicitation', 'Asks for a name', async (_given, { mcpReq }) => {
    const answer = acceptedContent(mcpReq.inputResponses, 'user_name')
    return typeof answer?.name === 'string'
      ? done(`Hello, ${answer.name}!`)
      : inputRequired({ inputRequests: { user_name: name() } })
  }),
  fixture('test_input_required_result_sampling', 'Asks a model', async (_given, { mcpReq }) =>
    inputResponse(mcpReq.inputResponses, 'capital_question').kind === 'sampling'
      ? done('The model has answered.')
      : inputRequired({ inputRequests: { capital_question: sample('What is the capital of France?') } }),
  ),
  fixture('test_input_required_result_list_roots', 'Asks for roots', async (_given, { mcpReq }) => {
    const answer = inputResponse(mcpReq.inputResponses, 'client_roots')
    return answer.kind === 'roots'
      ? done(`Roots: ${answer.roots.map(({ uri }) => uri).join(', ')}`)
      : inputRequired({ inputRequests: { client_roots: inputRequired.listRoots() } })
  }),
  ...['test_input_required_result_request_state', 'test_input_required_result_tampered_state'].map((called) =>
    fixture(called, 'Keeps its state with the client', async (_given, ctx) =>
      (await stepOf(ctx)) === 1 && acceptedContent(ctx.mcpReq.inputResponses, 'confirm') !== undefined
        ? done('Confirmed, state-ok.')
        : inputRequired({
            inputRequests: {
              confirm: ask('Please confirm', {
                type: 'object',
                properties: { ok: { type: 'boolean' } },
                required: ['ok'],
              }),
            },
            requestState: await states.mint({ step: 1 }, ctx),
          }),
    ),
  ),
  fixture('test_input_required_result_multiple_inputs', 'Asks three things', async (_given, ctx) =>
    (await stepOf(ctx)) === 1 && ctx.mcpReq.inputResponses !== undefined
      ? done('All three were answered.')
      : inputRequired({
          inputRequests: {
            user_name: name(),
            greeting: sample('Generate a greeting', 50),
            client_roots: inputRequired.listRoots(),
          },
          requestState: await states.mint({ step: 1 }, ctx),
        }),
  ),
  fixture('test_input_required_result_multi_round', 'Asks twice', async (_given, ctx) => {
    const step = await stepOf(ctx)
    if (step === 2) return done('Both were answered.')
    return step === 1
      ? inputRequired({
          inputRequests: { step2: askFor('Step 2: What is your favorite color?', 'color') },
          requestState: await states.mint({ step: 2 }, ctx),
        })
      : inputRequired({
          inputRequests: { step1: askFor('Step 1: What is your name?', 'name') },
          requestState: await states.mint({ step: 1 }, ctx),
        })
  }),
  fixture('test_input_required_result_capabilities', 'Asks what its client can do', async (_given, ctx) => {
    const { elicitation, sampling, roots } = declared(ctx)
    return inputRequired({
      inputRequests: {
        ...(elicitation === undefined ? {} : { user_name: name() }),
        ...(sampling === undefined ? {} : { greeting: sample('Generate a greeting') }),
        ...(roots === undefined ? {} : { client_roots: inputRequired.listRoots() }),
      },
      requestState: await states.mint({ step: 1 }, ctx),
    })
  }),
]
