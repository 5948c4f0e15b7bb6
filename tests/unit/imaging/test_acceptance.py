"""What is refused by its attributes, how, and what is answered with a warning."""

from io import BytesIO

import numpy as np
import pytest
from pydicom import Dataset, dcmread, uid

from app.errors import ImageError, ImageTooLarge, NoPixels, NotAChestRadiograph, UnreadableImage
from app.imaging.decode import decode_image
from app.imaging.dicom.acceptance import is_chest
from app.imaging.radiograph import DecodeLimits, Radiograph
from tests import factories as make

LIMITS = DecodeLimits()


def decode(**attributes: object) -> Radiograph:
    return decode_image(make.chest_dicom(**attributes), LIMITS)


def codes(radiograph: Radiograph) -> list[str]:
    """Warning codes, without the one for the size of the made images."""
    return [warning.code for warning in radiograph.warnings if warning.code != "low_resolution"]


@pytest.mark.parametrize("modality", ["CR", "DX", "DR", "dx "])
def test_radiography_modalities_are_accepted(modality):
    assert decode(Modality=modality).facts.modality == modality.strip().upper()


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("CT_small.dcm", "modality CT"),
        ("MR_small.dcm", "modality MR"),
        ("US1_UNCR.dcm", "modality US"),
        ("emri_small.dcm", "modality MR"),
        ("RG3_UNCR.dcm", "body part EXTREMITY"),
        ("RG3_J2KR.dcm", "body part EXTREMITY"),
        ("SC_rgb_jpeg.dcm", "modality OT"),
        ("JPEGLSNearLossless_16.dcm", "an object without modality"),
    ],
)
def test_other_images_are_refused_naming_what_was_found(name, found):
    with pytest.raises(NotAChestRadiograph, match=found) as refusal:
        decode_image(make.example(name), LIMITS)
    assert "accepted are" in refusal.value.detail


@pytest.mark.parametrize("name", ["reportsi.dcm", "test-SR.dcm", "rtplan.dcm", "waveform_ecg.dcm", "priv_SQ.dcm"])
def test_objects_without_image_are_refused(name):
    with pytest.raises(NoPixels, match="holds no image"):
        decode_image(make.example(name), LIMITS)


def test_an_image_without_its_pixel_data_is_refused():
    with pytest.raises(NoPixels, match="no pixel data"):
        decode(PixelData=None)


def test_a_missing_modality_is_taken_from_the_class_of_the_object():
    assert decode(Modality=None).facts.modality == "DX"
    assert decode(Modality="", SOPClassUID=uid.ComputedRadiographyImageStorage).facts.modality == "CR"


@pytest.mark.parametrize(
    "body_part", ["CHEST", "THORAX", None, "", "CHEST PA", "CHEST_LAT", "PORT CHEST", "LUNG", "TORAX"]
)
def test_names_of_the_chest_are_accepted(body_part):
    assert is_chest(body_part)


@pytest.mark.parametrize("body_part", ["EXTREMITY", "HAND", "CHEST ABDOMEN", "TSPINE", "RIB", "CHESTABDPELVIS"])
def test_other_body_parts_are_not_the_chest(body_part):
    assert not is_chest(body_part)


def test_a_missing_body_part_is_accepted():
    assert decode(BodyPartExamined=None).facts.body_part is None
    assert decode(BodyPartExamined="").facts.body_part is None


def test_multi_frame_objects_are_refused():
    with pytest.raises(NotAChestRadiograph, match="2 frames"):
        decode(NumberOfFrames=2)


def test_a_number_of_frames_of_one_is_accepted():
    assert decode(NumberOfFrames=1).pixels.shape == (make.ROWS, make.COLUMNS)


def test_colour_is_refused():
    with pytest.raises(NotAChestRadiograph, match="colour"):
        decode(stored=make.colour_photo(), bits=8)


def test_greys_stored_as_colour_are_accepted():
    gray = make.film_8bit()
    shown = decode(stored=np.stack([gray] * 3, axis=2), bits=8).pixels
    assert np.array_equal(shown, decode(stored=gray, bits=8).pixels)


@pytest.mark.parametrize("photometric", ["YBR_ICT", "YBR_RCT"])
def test_greys_of_a_jpeg_2000_colour_frame_are_accepted(photometric):
    import openjpeg

    gray = make.film_8bit()
    frame = bytes(openjpeg.utils.encode_array(np.stack([gray] * 3, axis=2), photometric_interpretation=1))
    stored = np.stack([gray] * 3, axis=2)
    data = make.compressed_dicom(frame, uid.JPEG2000Lossless, stored, 8, PhotometricInterpretation=photometric)
    assert np.array_equal(decode_image(data, LIMITS).pixels, decode(stored=gray, bits=8).pixels)


def test_palette_colour_is_refused():
    with pytest.raises(NotAChestRadiograph, match="palette"):
        decode(stored=make.film_8bit(), bits=8, PhotometricInterpretation="PALETTE COLOR")


@pytest.mark.parametrize("photometric", ["RGB", "NONSENSE"])
def test_an_unknown_kind_of_pixel_is_refused(photometric):
    with pytest.raises(NotAChestRadiograph, match="photometric"):
        decode(PhotometricInterpretation=photometric)


def test_several_samples_of_grey_are_refused():
    with pytest.raises(UnreadableImage, match="sample"):
        decode(SamplesPerPixel=3)


@pytest.mark.parametrize("attributes", [{"BitsAllocated": 32}, {"BitsStored": 17}, {"BitsStored": 0}])
def test_impossible_depths_are_refused(attributes):
    with pytest.raises(UnreadableImage, match="bits allocated"):
        decode(**attributes)


def test_stored_bits_that_are_not_the_lowest_are_refused():
    with pytest.raises(UnreadableImage, match="High Bit"):
        decode(HighBit=15)


@pytest.mark.parametrize("attributes", [{"Rows": 0}, {"Columns": 0}, {"Rows": None}])
def test_an_image_without_extent_is_refused(attributes):
    with pytest.raises(UnreadableImage, match="no extent"):
        decode(**attributes)


def test_more_pixels_than_allowed_are_refused_before_decoding():
    with pytest.raises(ImageTooLarge, match="113 rows × 127 columns"):
        decode_image(make.chest_dicom(), DecodeLimits(pixels=113 * 127 - 1))
    with pytest.raises(ImageTooLarge, match="60000 rows × 60000 columns"):
        decode(Rows=60000, Columns=60000)
    assert decode_image(make.chest_dicom(), DecodeLimits(pixels=113 * 127))


@pytest.mark.parametrize("view", ["LL", "RL", "LATERAL", "LAT"])
def test_a_lateral_view_is_answered_with_a_warning(view):
    radiograph = decode(ViewPosition=view)
    assert codes(radiograph) == ["lateral_view"]
    assert radiograph.facts.view == view


@pytest.mark.parametrize("view", ["PA", "AP", "LLD", "", None])
def test_other_views_are_answered_without_warning(view):
    assert codes(decode(ViewPosition=view)) == []


@pytest.mark.parametrize(
    ("code", "expected"),
    [("R-10236", ["lateral_view"]), ("399067008", ["lateral_view"]), ("R-102CD", ["lateral_view"]), ("R-10206", [])],
)
def test_a_coded_view_counts_where_no_view_position_is_given(code, expected):
    item = Dataset()
    item.CodeValue = code
    assert codes(decode(ViewPosition="", ViewCodeSequence=[item])) == expected
    assert codes(decode(ViewPosition="PA", ViewCodeSequence=[item])) == []


def test_a_secondary_capture_is_answered_with_a_warning():
    assert codes(decode(SOPClassUID=uid.SecondaryCaptureImageStorage)) == ["secondary_capture"]


def test_facts_name_the_object():
    facts = decode(PhotometricInterpretation="MONOCHROME1").facts
    assert (facts.format, facts.rows, facts.columns) == ("dicom", make.ROWS, make.COLUMNS)
    assert (facts.modality, facts.body_part, facts.view) == ("DX", "CHEST", "PA")
    assert facts.photometric_interpretation == "MONOCHROME1"
    assert facts.transfer_syntax == uid.ExplicitVRLittleEndian
    assert facts.sop_instance_uid == "1.2.826.0.1.3680043.8.498.1"
    assert facts.study_instance_uid == "1.2.826.0.1.3680043.8.498.2"
    assert facts.series_instance_uid == "1.2.826.0.1.3680043.8.498.3"


def test_facts_are_reduced_to_the_characters_of_their_representation():
    radiograph = decode(ViewPosition="<script>alert(1)</script>", StudyInstanceUID="not a uid")
    assert radiograph.facts.view == "SCRIPTALERT1SCRI"
    assert radiograph.facts.study_instance_uid is None


def test_the_first_of_several_values_counts():
    assert decode(ViewPosition=["PA", "LL"]).facts.view == "PA"
    assert decode(BodyPartExamined=["CHEST", "HAND"]).facts.body_part == "CHEST"


def test_the_transfer_syntax_is_told_where_it_is_a_known_one():
    data = make.chest_dicom(Modality="CT")
    with pytest.raises(NotAChestRadiograph) as known:
        decode_image(data, LIMITS)
    assert known.value.transfer_syntax == uid.ExplicitVRLittleEndian
    private = data.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.99999.1.2.1\0")
    with pytest.raises(NotAChestRadiograph) as unknown:
        decode_image(private, LIMITS)
    assert unknown.value.transfer_syntax is None


@pytest.mark.parametrize("syntax", [b"1.2.840.10008.1.2.4.100\0", b"1.2.840.99999.1\0"])
def test_an_unsupported_transfer_syntax_is_refused(syntax):
    dataset = make.chest_dataset()
    data = make.write_dicom(dataset).replace(
        b"UI\x14\x001.2.840.10008.1.2.1\0", b"UI" + len(syntax).to_bytes(2, "little") + syntax
    )
    length = int.from_bytes(data[140:144], "little") + len(syntax) - 20
    with pytest.raises(UnreadableImage, match="transfer syntax is not supported"):
        decode_image(data[:140] + length.to_bytes(4, "little") + data[144:], LIMITS)


PLANTED = {
    "PatientName": make.SENTINEL,
    "PatientID": make.SENTINEL,
    "PatientComments": make.SENTINEL,
    "AccessionNumber": make.SENTINEL[:16],
    "StudyDescription": make.SENTINEL,
    "InstitutionName": make.SENTINEL,
}


@pytest.mark.parametrize(
    "attributes",
    [
        {"Modality": "CT"},
        {"BodyPartExamined": "HAND"},
        {"NumberOfFrames": 3},
        {"Modality": make.SENTINEL},
        {"BodyPartExamined": make.SENTINEL},
        {"Modality": make.SENTINEL, "PixelData": None},
        {"Rows": 0},
        {"Rows": 60000, "Columns": 60000},
        {"PixelData": None},
        {"PixelData": b"\0\0"},
        {"BitsStored": 0},
        {"HighBit": 15},
        {"PhotometricInterpretation": "PALETTE COLOR"},
        {"PhotometricInterpretation": make.SENTINEL},
        {"StudyInstanceUID": make.SENTINEL, "Modality": "CT"},
        {"WindowCenter": 99999, "WindowWidth": 1},
    ],
    ids=str,
)
def test_no_refusal_and_no_output_repeats_a_patient(attributes, capfd, caplog):
    data = make.chest_dicom(**(PLANTED | attributes))
    capfd.readouterr()
    caplog.clear()
    with pytest.raises(ImageError) as refusal:
        decode_image(data, LIMITS)
    captured = capfd.readouterr()
    told = f"{refusal.value!r} {refusal.value.detail} {captured.out} {captured.err} {caplog.text}"
    assert "SENTINEL" not in told
    assert refusal.value.__suppress_context__ or refusal.value.__context__ is None


def test_pydicom_neither_warns_nor_logs(caplog):
    data = make.chest_dicom(**PLANTED, StudyInstanceUID="SENTINEL")
    dataset = dcmread(BytesIO(data))
    with pytest.warns(UserWarning, match="SENTINEL"):
        _ = dataset.StudyInstanceUID  # the file is of the kind that makes pydicom talk
    caplog.clear()
    assert decode_image(data, LIMITS).pixels.shape == (make.ROWS, make.COLUMNS)
    assert caplog.text == ""


def test_decoders_do_not_log_what_they_dislike(caplog):
    frame = make.encoded_frame(make.film(), uid.JPEG2000Lossless)
    damaged = frame[:60] + bytes(len(frame) - 62) + frame[-2:]
    with pytest.raises(ImageError):
        decode_image(make.compressed_dicom(damaged, uid.JPEG2000Lossless, make.film()), LIMITS)
    assert caplog.text == ""
