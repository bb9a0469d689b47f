"""Another client of the same environment: creates jobs and packets, edits, steals, deletes. Shares no code of ours."""

import ssl
from collections.abc import Iterator, Mapping
from typing import Any

import httpx

JOBS = "msdyn_integrationjobs"
PACKETS = "msdyn_integrationjobdetails"
WAITING, READY, SKIPPED, PROCESSING, SUCCEEDED, FAILED = range(192_350_000, 192_350_006)


class Neighbour:
    """Signs in as the sandbox's second application user."""

    def __init__(self, ready: Mapping[str, Any]) -> None:
        self._http = httpx.Client(
            verify=ssl.create_default_context(cafile=ready["ca_file"]), timeout=60, trust_env=False
        )
        self._api = f"{ready['url']}/api/data/v9.2"
        form = {
            "grant_type": "client_credentials",
            "client_id": ready["neighbour_client_id"],
            "client_secret": ready["neighbour_client_secret"],
            "scope": f"{ready['url']}/.default",
        }
        answer = self._http.post(f"{ready['authority']}/oauth2/v2.0/token", data=form).raise_for_status().json()
        self._http.headers["Authorization"] = f"Bearer {answer['access_token']}"

    def create_job(self, **columns: Any) -> str:
        """Create a job, Waiting for one packet unless told otherwise, and give its id."""
        row = {"msdyn_status": WAITING, "msdyn_type": 192_350_000, "msdyn_numberofpackets": 1, **columns}
        return str(self._create(JOBS, row)["msdyn_integrationjobid"])

    def create_packet(self, job_id: str, number: int | None, **columns: Any) -> str:
        """Create a packet of a job and give its id."""
        header = {"msdyn_IntegrationJobHeader@odata.bind": f"/{JOBS}({job_id})"}
        row = {**header, "msdyn_sequencenumber": number, "msdyn_fulljson": "{}", **columns}
        return str(self._create(PACKETS, row)["msdyn_integrationjobdetailid"])

    def job(self, job_id: str) -> dict[str, Any]:
        """Read a job."""
        row: dict[str, Any] = self._http.get(f"{self._api}/{JOBS}({job_id})").raise_for_status().json()
        return row

    def update_job(self, job_id: str, **columns: Any) -> None:
        """Change a job, whatever its ETag."""
        headers = {"If-Match": "*"}
        self._http.patch(f"{self._api}/{JOBS}({job_id})", json=columns, headers=headers).raise_for_status()

    def try_to_update(self, job_id: str, **columns: Any) -> bool:
        """Change a job, whatever its ETag; False when the answer was anything but a success."""
        try:
            self.update_job(job_id, **columns)
        except httpx.HTTPError:
            return False
        return True

    def processing(self) -> list[str]:
        """List the jobs in Processing; none when they cannot be had."""
        query = {"$filter": f"msdyn_status eq {PROCESSING}", "$select": "msdyn_name"}
        try:
            page = self._http.get(f"{self._api}/{JOBS}", params=query).raise_for_status().json()
        except httpx.HTTPError:
            return []
        return [row["msdyn_integrationjobid"] for row in page["value"]]

    def delete_job(self, job_id: str) -> None:
        """Delete a job and with it its packets."""
        self._http.delete(f"{self._api}/{JOBS}({job_id})").raise_for_status()

    def jobs(self) -> Iterator[dict[str, Any]]:
        """Read all jobs."""
        address = f"{self._api}/{JOBS}"
        while address:
            page = self._http.get(address).raise_for_status().json()
            yield from page["value"]
            address = page.get("@odata.nextLink")

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _create(self, entity_set: str, row: Mapping[str, Any]) -> dict[str, Any]:
        headers = {"Prefer": "return=representation"}
        answer = self._http.post(f"{self._api}/{entity_set}", json=dict(row), headers=headers)
        created: dict[str, Any] = answer.raise_for_status().json()
        return created
