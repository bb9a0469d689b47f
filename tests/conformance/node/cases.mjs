// What dynamics-web-api can do against Dataverse it can do against the sandbox. One JSON line a case.
import { DynamicsWebApi } from "dynamics-web-api";
import csdl from "odata-csdl";

const { URL_OF_DATAVERSE: url, TOKEN: token } = process.env;
const jobs = "msdyn_integrationjobs";
const packets = "msdyn_integrationjobdetails";
const WAITING = 192350000;
const READY = 192350001;

function client(more = {}) {
  return new DynamicsWebApi({
    serverUrl: url,
    dataApi: { version: "9.2" },
    onTokenRefresh: async () => token,
    propagateErrors: true,
    ...more,
  });
}

const api = client();

function equal(found, wanted, what) {
  const [a, b] = [JSON.stringify(found), JSON.stringify(wanted)];
  if (a !== b) throw new Error(`${what}: ${a} instead of ${b}`);
}

async function refused(request, status, what) {
  try {
    await request();
  } catch (error) {
    equal(error.status, status, what);
    return;
  }
  throw new Error(`${what}: was not refused`);
}

const newJob = (name, more = {}) =>
  api.create({
    collection: jobs,
    data: { msdyn_name: name, msdyn_status: WAITING, msdyn_numberofpackets: 2, ...more },
    returnRepresentation: true,
  });

const cases = {
  async "creates and retrieves"() {
    const made = await newJob("made");
    const read = await api.retrieve({ collection: jobs, key: made.msdyn_integrationjobid, select: ["msdyn_name"] });
    equal(read.msdyn_name, "made", "the name");
    equal(typeof read["@odata.etag"], "string", "the ETag");
  },
  async "updates only while the ETag matches"() {
    const made = await newJob("guarded");
    const key = made.msdyn_integrationjobid;
    const etag = made["@odata.etag"];
    const data = { msdyn_status: READY };
    const updated = await api.update({ collection: jobs, key, data, ifmatch: etag, returnRepresentation: true });
    equal(updated.msdyn_status, READY, "the status");
    await refused(() => api.update({ collection: jobs, key, data, ifmatch: etag }), 412, "a stale ETag");
  },
  async "upserts by the rules of If-Match and If-None-Match"() {
    const key = crypto.randomUUID();
    const data = { msdyn_name: "upserted" };
    await refused(() => api.upsert({ collection: jobs, key, data, ifmatch: "*" }), 404, "a row that is not there");
    await api.upsert({ collection: jobs, key, data });
    equal((await api.retrieve({ collection: jobs, key })).msdyn_name, "upserted", "the name");
    await refused(() => api.upsert({ collection: jobs, key, data, ifnonematch: "*" }), 412, "a row that is there");
  },
  async "retrieves page by page"() {
    const name = crypto.randomUUID();
    for (let number = 0; number < 7; number += 1) await newJob(name, { msdyn_numberofpackets: number });
    const query = { collection: jobs, filter: `msdyn_name eq '${name}'`, orderBy: ["msdyn_numberofpackets"], maxPageSize: 3 };
    const seen = [];
    let page = await api.retrieveMultiple(query);
    for (;;) {
      seen.push(page.value.length);
      if (!page.oDataNextLink) break;
      page = await api.retrieveMultiple(query, page.oDataNextLink);
    }
    equal(seen, [3, 3, 1], "the pages");
    const all = await api.retrieveAll(query);
    equal(all.value.map((row) => row.msdyn_numberofpackets), [0, 1, 2, 3, 4, 5, 6], "the order");
  },
  async "counts"() {
    const name = crypto.randomUUID();
    await newJob(name);
    await newJob(name);
    equal(await api.count({ collection: jobs, filter: `msdyn_name eq '${name}'` }), 2, "the count");
  },
  async "aggregates with $apply"() {
    const name = crypto.randomUUID();
    await newJob(name, { msdyn_numberofpackets: 3 });
    await newJob(name, { msdyn_numberofpackets: 4 });
    const apply = `filter(msdyn_name eq '${name}')/groupby((msdyn_status),aggregate(msdyn_numberofpackets with sum as packets))`;
    const { value } = await api.retrieveMultiple({ collection: jobs, apply });
    equal(value.map((row) => [row.msdyn_status, row.packets]), [[WAITING, 7]], "the groups");
  },
  async "fetches with FetchXML, joined and counted"() {
    const made = await newJob("fetched");
    const header = { "msdyn_IntegrationJobHeader@odata.bind": `/${jobs}(${made.msdyn_integrationjobid})` };
    for (const number of [1, 2, 2]) {
      await api.create({ collection: packets, data: { msdyn_sequencenumber: number, ...header } });
    }
    const fetchXml = `<fetch aggregate="true"><entity name="msdyn_integrationjobdetail">
      <attribute name="msdyn_sequencenumber" alias="different" aggregate="countcolumn" distinct="true"/>
      <link-entity name="msdyn_integrationjob" from="msdyn_integrationjobid" to="msdyn_integrationjobheader" alias="j">
      <filter><condition attribute="msdyn_integrationjobid" operator="eq" value="${made.msdyn_integrationjobid}"/></filter>
      </link-entity></entity></fetch>`;
    const { value } = await api.fetch({ collection: packets, fetchXml });
    equal(value[0].different, 2, "the different packets");
  },
  async "expands the job of a packet"() {
    const made = await newJob("expanded");
    const header = { "msdyn_IntegrationJobHeader@odata.bind": `/${jobs}(${made.msdyn_integrationjobid})` };
    const packet = await api.create({ collection: packets, data: header, returnRepresentation: true });
    const read = await api.retrieve({
      collection: packets,
      key: packet.msdyn_integrationjobdetailid,
      expand: [{ property: "msdyn_IntegrationJobHeader", select: ["msdyn_name"] }],
    });
    equal(read.msdyn_IntegrationJobHeader.msdyn_name, "expanded", "the job's name");
  },
  async "sends a batch"() {
    const batching = client();
    batching.startBatch();
    batching.create({ collection: jobs, data: { msdyn_name: "in a batch" }, contentId: "1" });
    batching.retrieveMultiple({ collection: jobs, top: 1, inChangeSet: false });
    const answers = await batching.executeBatch();
    equal(answers.length, 2, "the answers");
    equal(answers[1].value.length, 1, "the rows of the second");
  },
  async "calls the bound action and a function"() {
    const made = await newJob("acted on");
    await api.callAction({
      collection: jobs,
      key: made.msdyn_integrationjobid,
      actionName: "Microsoft.Dynamics.CRM.msdyn_MarkIntegrationJobAsFailedAsync",
      action: { Error: null },
    });
    equal(typeof (await api.callFunction({ functionName: "WhoAmI" })).UserId, "string", "the user");
  },
  async "reads the metadata with the OData committee's own parser"() {
    const messages = [];
    const answer = await fetch(`${url}/api/data/v9.2/$metadata`, { headers: { Authorization: `Bearer ${token}` } });
    const schema = csdl.xml2json(await answer.text(), { strict: true, messages });
    equal(messages, [], "the parser's complaints");
    const type = schema["Microsoft.Dynamics.CRM"].msdyn_integrationjob;
    equal(type.$Key, ["msdyn_integrationjobid"], "the key");
    equal(type.msdyn_numberofpackets.$Type, "Edm.Int32", "a column's type");
  },
  async "is refused what Dataverse refuses"() {
    await refused(() => api.retrieve({ collection: jobs, key: crypto.randomUUID() }), 404, "a row that is not there");
    await refused(() => api.retrieveMultiple({ collection: jobs, filter: "no_such_column eq 1" }), 400, "a column");
    await refused(() => api.retrieveMultiple({ collection: "msdyn_nosuchtables" }), 404, "a table");
  },
};

for (const [name, run] of Object.entries(cases)) {
  let error = null;
  try {
    await run();
  } catch (raised) {
    error = String(raised.stack ?? raised);
  }
  console.log(JSON.stringify({ name, error }));
}
