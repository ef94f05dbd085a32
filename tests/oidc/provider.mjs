// The certified OpenID provider with a few people, for the login tests. Listens only on loopback.
//
//   node provider.mjs MODULES PORT
//
// MODULES is the node_modules directory of the provider. Besides the provider's own paths there is
// POST /test/sign, which signs any claims, for tokens that a provider would never issue.
import { createHmac, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { createServer } from 'node:http';
import { pathToFileURL } from 'node:url';

const [modules, port] = process.argv.slice(2);
const { default: Provider } = await import(pathToFileURL(`${modules}/oidc-provider/lib/index.js`));
const issuer = `http://127.0.0.1:${port}`;

const people = {
  ada: { email: 'ada@example.com', email_verified: true, groups: ['platform'] },
  bob: { email: 'bob@example.com', email_verified: true, groups: ['shop-devs', 'everybody'] },
  eve: { email: 'ada@example.com', email_verified: false, groups: ['platform'] },
  ann: { email: 'ann@example.com', email_verified: true },
};

const key = (kid) => {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const jwk = { ...privateKey.export({ format: 'jwk' }), kid, use: 'sig', alg: 'RS256' };
  return { privateKey, jwk };
};
const ours = key('ours');
const strange = key('strange');

const client = (client_id) => ({
  client_id,
  application_type: 'native',
  token_endpoint_auth_method: 'none',
  grant_types: ['authorization_code', 'urn:ietf:params:oauth:grant-type:device_code'],
  redirect_uris: ['http://127.0.0.1/callback'],
  response_types: ['code'],
});

const provider = new Provider(issuer, {
  clients: [client('enclii'), client('other')],
  jwks: { keys: [ours.jwk] },
  claims: { openid: ['sub'], email: ['email', 'email_verified'], groups: ['groups'] },
  // The claims are in the ID token itself, which most providers can be configured to do.
  conformIdTokenClaims: false,
  features: { devInteractions: { enabled: true }, deviceFlow: { enabled: true } },
  findAccount: (_, id) =>
    people[id] && { accountId: id, claims: () => ({ sub: id, ...people[id] }) },
  cookies: { keys: ['a test has no secrets'] },
});

const part = (value) => {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return Buffer.from(text).toString('base64url');
};

// {"header": {…}, "claims": {…}, "key": "ours" | "strange" | "public" | "none"}
const forge = ({ header, claims, key }) => {
  const head = { alg: 'RS256', kid: 'ours', typ: 'JWT', ...header };
  const text = `${part(head)}.${part(claims)}`;
  if (key === 'none') return `${text}.`;
  if (key === 'public') {
    // For a verifier that mistakes the public key for an HMAC secret.
    const pem = createPublicKey(ours.privateKey).export({ format: 'pem', type: 'spki' });
    return `${text}.${createHmac('sha256', pem).update(text).digest('base64url')}`;
  }
  const { privateKey } = key === 'strange' ? strange : ours;
  return `${text}.${sign('sha256', Buffer.from(text), privateKey).toString('base64url')}`;
};

const handle = provider.callback();
createServer((request, response) => {
  if (request.url !== '/test/sign') return handle(request, response);
  let body = '';
  request.on('data', (chunk) => (body += chunk));
  request.on('end', () => response.end(forge(JSON.parse(body))));
}).listen(Number(port), '127.0.0.1', () => console.log(`provider on ${issuer}`));
