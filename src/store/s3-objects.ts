// GETs and PUTs of single objects, without the SDK's middleware: that takes 0.65 ms for a request, and most of it is to find
// out again what no key changes. So the SDK is asked once what it would send, and by whom it would have that signed; a request
// is then a copy of it, with a key, a method and headers of its own, signed as the SDK would (s3-signer.ts).
//
// Must stay true:
// - Requests are signed by the service's clock, as the last answer told it: whoever was refused for his clock is signed
//   rightly the next time (the SDK's own requests too: they look at the same place).
// - An answer that is no success is thrown as the SDK would throw it: s3-errors.ts knows no difference.
import type { S3Client } from '@aws-sdk/client-s3'
import { bodyLengthBytes } from './object-store.ts'
import { contentSha256 } from './s3-checksums.ts'
import { answeredError } from './s3-errors.ts'
import { type Carried, type CarryingHttpHandler, encode, type Response, type SignedRequest } from './s3-http.ts'
import { ObjectSigner, type Signer } from './s3-signer.ts'

type Sdk = typeof import('@aws-sdk/client-s3')

export interface ObjectRequest {
  method: 'GET' | 'PUT'
  /** With the store's prefix. */
  key: string
  /** Besides those that say where it goes. */
  headers: Readonly<Record<string, string>>
  carried: Carried
}

/** What all requests have in common: where the bucket's keys begin, and who signs. */
interface Pattern {
  request: Pick<SignedRequest, 'protocol' | 'hostname' | 'port' | 'path' | 'headers'>
  signer: ObjectSigner
}

/** What a service appends to the head of a success when it fails after all. */
const ERROR_END = '</Error>'
/** Any key: it is cut off again. */
const KEY = 'key'

export class ObjectRequests {
  readonly #sdk: Sdk
  readonly #client: S3Client
  readonly #handler: CarryingHttpHandler
  readonly #bucket: string
  readonly #isUnsigned: boolean
  #pattern: Promise<Pattern> | null = null

  /** `isUnsigned`: bodies are left out of signatures over plain http too. */
  constructor(options: {
    sdk: Sdk
    client: S3Client
    handler: CarryingHttpHandler
    bucket: string
    isUnsigned: boolean
  }) {
    this.#sdk = options.sdk
    this.#client = options.client
    this.#handler = options.handler
    this.#bucket = options.bucket
    this.#isUnsigned = options.isUnsigned
  }

  /** Resolves to an answer that is a success. Rejects with what the SDK would reject with. */
  async send({ method, key, headers, carried }: ObjectRequest): Promise<Response> {
    const { request, signer } = await this.#common()
    const path = request.path + key.split('/').map(encode).join('/')
    const { parts } = carried
    const isSigned = !this.#isUnsigned && request.protocol !== 'https:'
    const all: Record<string, string> = {
      ...request.headers,
      'x-amz-content-sha256': contentSha256(parts, { isSigned }),
      ...headers,
    }
    if (method === 'PUT') all['content-length'] = String(bodyLengthBytes(parts))
    const signingDate = new Date(Date.now() + this.#client.config.systemClockOffset)
    const unsigned = { ...request, method, path, headers: all, query: {} }
    const signed = await signer.sign(unsigned, signingDate)
    const { response } = await this.#handler.handle({ ...unsigned, headers: signed, body: carried })
    this.#noteClock(response.headers)
    if (response.statusCode >= 300) throw answeredError(response)
    if (method === 'PUT' && (response.body as Buffer).toString('latin1').endsWith(ERROR_END))
      throw answeredError({ ...response, statusCode: 503 })
    return response
  }

  #common(): Promise<Pattern> {
    this.#pattern ??= this.#askSdk().catch((error) => {
      this.#pattern = null
      throw error
    })
    return this.#pattern
  }

  /** Lets the SDK build a request, and keeps it before it is signed. */
  async #askSdk(): Promise<Pattern> {
    const { config } = this.#client
    const command = new this.#sdk.PutObjectCommand({ Bucket: this.#bucket, Key: KEY })
    let pattern: Promise<Pattern> | undefined
    command.middlewareStack.add(
      (_, context) =>
        async ({ request }) => {
          const { protocol, hostname, port, path, headers } = request as SignedRequest
          pattern = (async () => ({
            request: {
              ...{ protocol, hostname, path: path.slice(0, -KEY.length) },
              ...(port === undefined ? {} : { port }),
              headers: Object.fromEntries(
                ['host', 'user-agent'].flatMap((name) => (headers[name] === undefined ? [] : [[name, headers[name]]])),
              ),
            },
            signer: new ObjectSigner(
              (await config.signer(context.endpointV2?.properties?.authSchemes?.[0])) as Signer,
              config.credentials,
            ),
          }))()
          return { output: { $metadata: {} }, response: undefined }
        },
      { step: 'build', priority: 'low', name: 'keepRequest' },
    )
    // With options: the middleware of this command is not kept for others.
    await this.#client.send(command, {})
    return pattern as Promise<Pattern>
  }

  /** As the SDK does it; an answer with an age was not made now. */
  #noteClock({ date, age }: Readonly<Record<string, string | undefined>>): void {
    const serverMs = date === undefined || age !== undefined ? Number.NaN : Date.parse(date)
    if (!Number.isNaN(serverMs)) this.#client.config.systemClockOffset = serverMs - Date.now()
  }
}
