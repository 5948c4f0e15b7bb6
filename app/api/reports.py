"""DICOM objects as the body of an answer."""

from fastapi import Response

DICOM = "application/dicom"
MULTIPART_DICOM = f'multipart/related; type="{DICOM}"'
_BOUNDARY = "medpatchnet-object"  # the objects begin with 128 zeros and never hold this on a line of its own


def dicom_answer(files: list[bytes]) -> Response:
    """One file as it is, several as the parts of multipart/related (PS3.18 8.6.1.2), none as 204."""
    if not files:
        return Response(status_code=204)
    if len(files) == 1:
        return Response(files[0], media_type=DICOM)
    head = f"--{_BOUNDARY}\r\nContent-Type: {DICOM}\r\n\r\n".encode()
    body = b"".join(head + file + b"\r\n" for file in files) + f"--{_BOUNDARY}--\r\n".encode()
    return Response(body, headers={"Content-Type": f"{MULTIPART_DICOM}; boundary={_BOUNDARY}"})
